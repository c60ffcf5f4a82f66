"""The trash: repositories that were deleted, and can be restored."""

from __future__ import annotations

from itertools import islice
from typing import Final

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest, repository_path
from ecrate.domain.errors import AccessDenied, InvalidParameter
from ecrate.domain.names import RepositoryRef
from ecrate.domain.trash import Origin
from ecrate.operations import trash

_MOST: Final = 200


def show_trash(request: ConsoleRequest) -> Response:
    own = request.caller.registry
    if "RestoreRepository" not in request.may_in_registry(("RestoreRepository",)):
        reason = "because no policy allows it"
        raise AccessDenied(request.caller.arn, "ecr:RestoreRepository", "*", reason)
    found = trash.list_trashed_repositories(request.core, Origin(registry_id=own.id))
    mine = (one for one in found if one.ref.registry == own)
    return request.page(
        "trash.html",
        repositories=list(islice(mine, _MOST)),
        told=request.query.get("told", ""),
    )


def restore(request: ConsoleRequest) -> Response:
    ref = RepositoryRef.parse(request.caller.registry, request.form.get("name", ""))
    given = request.form.get("id", "")
    if not given.isascii() or not given.isdigit():
        raise InvalidParameter("id", "Member must be a repository's id")
    trash.restore_repository(
        request.core, ref, repository_id=int(given[:18]), caller=request.caller
    )
    return request.go(repository_path(ref.name), told="restored")
