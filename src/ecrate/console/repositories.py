"""Pages on repositories: found, made, set, locked, deleted."""

from __future__ import annotations

import contextlib
from typing import Final

from aiohttp.web import Response

from ecrate.console.request import PAGE, ConsoleRequest, repository_path
from ecrate.domain.errors import AccessDenied, EcrateError, InvalidParameter, RepositoryNotFound
from ecrate.domain.names import RepositoryRef
from ecrate.domain.repositories import RepositorySettings, TagMutability
from ecrate.operations import overview, repositories, tagging
from ecrate.operations.scans import batch_get_repository_scanning_configuration

MODES: Final = ("MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION")
_ON_REPOSITORY: Final = (
    *("DescribeImages", "DeleteRepository", "LockRepository", "GetLifecyclePolicy"),
    *("GetRepositoryPolicy", "PutImageTagMutability", "PutImageScanningConfiguration"),
    *("PutLifecyclePolicy", "SetRepositoryPolicy", "ListTagsForResource", "StartImageScan"),
    "StartLifecyclePolicyPreview",
)


def list_repositories(request: ConsoleRequest) -> Response:
    search, after = request.query.get("search", "").strip().lower(), request.query.get("after", "")
    may = request.may_in_registry(("CreateRepository",))
    own = request.caller.registry
    refused = ""
    try:
        page = overview.search_repositories(
            request.core, request.caller, own, search, after=after, limit=PAGE
        )
    except AccessDenied as error:
        page, refused = repositories.RepositoryPage([], None), str(error)
        if search:
            # Who may not list them may still look at one whose name they know.
            RepositoryRef.parse(own, search)
            return request.go(repository_path(search))
    usages = {}
    if request.query.get("sizes") == "yes":
        for one in page.repositories:
            with contextlib.suppress(AccessDenied, RepositoryNotFound):
                usages[one.id] = overview.find_usage(request.core, request.caller, one.ref)
    return request.page(
        "repository_rows.html" if request.is_fragment else "repositories.html",
        repositories=page.repositories,
        next_name=page.next_name,
        search=search,
        after=after,
        usages=usages,
        refused=refused,
        may=may,
        told=request.query.get("told", ""),
    )


def show_creation(request: ConsoleRequest) -> Response:
    return request.page("create.html", modes=MODES, given={}, error="")


def create(request: ConsoleRequest) -> Response:
    given = request.form
    name = given.get("name", "").strip()
    try:
        ref = RepositoryRef.parse(request.caller.registry, name)
        settings = RepositorySettings(
            tag_mutability=_mutability(request), scan_on_push=given.get("scan_on_push") == "yes"
        )
        repositories.create_repository(request.core, request.caller, ref, settings)
    except EcrateError as error:
        return request.page("create.html", status=400, modes=MODES, given=given, error=str(error))
    return request.go(repository_path(name), told="created")


def _mutability(request: ConsoleRequest) -> TagMutability:
    mode = request.form.get("mode", "MUTABLE")
    if mode not in MODES:
        raise InvalidParameter(
            "imageTagMutability", f"Member must satisfy enum value set: [{', '.join(MODES)}]"
        )
    filters = request.form.get("filters", "").split()
    return TagMutability.parse(mode, filters if mode.endswith("_WITH_EXCLUSION") else None)


def show_repository(request: ConsoleRequest) -> Response:
    search = request.query.get("search", "").strip()
    before = request.query.get("before", "")
    repository = repositories.describe_repositories(request.core, request.caller, [request.ref])[0]
    may = request.may(*_ON_REPOSITORY)
    images, next_before = overview.search_images(
        request.core,
        request.caller,
        request.ref,
        search,
        before=int(before[:18]) if before.isascii() and before.isdigit() else None,
        limit=PAGE,
    )
    return request.page(
        "image_rows.html" if request.is_fragment else "repository.html",
        repository=repository,
        path=repository_path(request.name),
        place="images",
        images=images,
        next_before=next_before,
        before=before,
        search=search,
        may=may,
        host=request.registry_host,
        told=request.query.get("told", ""),
    )


def show_usage(request: ConsoleRequest) -> Response:
    usage = overview.find_usage(request.core, request.caller, request.ref)
    return request.part("usage.html", request.name, usage=usage)


def show_settings(request: ConsoleRequest) -> Response:
    repository = repositories.describe_repositories(request.core, request.caller, [request.ref])[0]
    may = request.may(*_ON_REPOSITORY)
    tags = []
    if "ListTagsForResource" in may:
        tags = tagging.list_tags_for_resource(request.core, request.caller, request.ref)
    plan = None
    try:
        found = batch_get_repository_scanning_configuration(
            request.core, request.caller, [request.ref]
        )[0]
        plan = None if isinstance(found, EcrateError) else found.plan
    except AccessDenied:
        pass  # it is not shown then
    return request.page(
        "settings.html",
        repository=repository,
        path=repository_path(request.name),
        place="settings",
        modes=MODES,
        resource_tags=tags,
        plan=plan,
        may=may,
        told=request.query.get("told", ""),
    )


def change_settings(request: ConsoleRequest) -> Response:
    repositories.put_image_tag_mutability(
        request.core, request.caller, request.ref, _mutability(request)
    )
    return request.go(repository_path(request.name, "settings"), told="saved")


def change_scanning(request: ConsoleRequest) -> Response:
    wanted = request.form.get("scan_on_push") == "yes"
    repositories.put_image_scanning_configuration(
        request.core, request.caller, request.ref, scan_on_push=wanted
    )
    return request.go(repository_path(request.name, "settings"), told="saved")


def lock(request: ConsoleRequest) -> Response:
    repositories.lock_repository(request.core, request.ref, is_locked=True, caller=request.caller)
    path = repository_path(request.name, "settings")
    return request.go(path, told="locked")


def unlock(request: ConsoleRequest) -> Response:
    repositories.lock_repository(request.core, request.ref, is_locked=False, caller=request.caller)
    return request.go(repository_path(request.name, "settings"), told="unlocked")


def show_deletion(request: ConsoleRequest) -> Response:
    repository = repositories.describe_repositories(request.core, request.caller, [request.ref])[0]
    may = request.may(*_ON_REPOSITORY)
    usage = None
    if "DescribeImages" in may:
        usage = overview.find_usage(request.core, request.caller, request.ref)
    return request.page(
        "delete.html",
        repository=repository,
        path=repository_path(request.name),
        place="delete",
        usage=usage,
        kept=request.core.limits.trash_kept,
        may=may,
    )


def delete(request: ConsoleRequest) -> Response:
    if request.form.get("confirmed") != request.name:
        raise InvalidParameter("confirmed", "Type the repository's name to delete it")
    repositories.delete_repository(request.core, request.caller, request.ref, force=True)
    told = "trashed" if request.core.limits.trash_kept else "deleted"
    return request.go("repositories", told=told)
