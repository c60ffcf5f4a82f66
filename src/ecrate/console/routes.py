"""Which handler answers which path below `/console/`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp.web import Response

from ecrate.console import (
    comparison,
    files,
    images,
    lifecycle,
    policies,
    registry,
    repositories,
    trash,
)
from ecrate.console.request import ConsoleRequest

Handler = Callable[[ConsoleRequest], Response]

# A component of a repository's name begins with a letter or a digit, so `-` is none.
_REPOSITORY: Final = re.compile(r"r/(?P<name>[^?]{1,256}?)(?:/-/(?P<page>[a-z/-]+))?")
_IMAGE: Final = re.compile(
    r"r/(?P<name>[^?]{1,256}?)/-/image/(?P<digest>[a-z0-9]+:[a-f0-9]+)(?:/(?P<page>[a-z]+))?"
)


@dataclass(frozen=True, slots=True)
class Route:
    """`operation` is what the audit log calls it; those that change nothing have none."""

    handler: Handler
    operation: str = ""


GET: Final[Mapping[str, Route]] = {
    "": Route(repositories.list_repositories),
    "repositories": Route(repositories.list_repositories),
    "create": Route(repositories.show_creation),
    "trash": Route(trash.show_trash),
    "registry": Route(registry.show_registry),
    "registry/images": Route(registry.count_images),
    "audit": Route(registry.search_audit),
    "r": Route(repositories.show_repository),
    "r/usage": Route(repositories.show_usage),
    "r/settings": Route(repositories.show_settings),
    "r/delete": Route(repositories.show_deletion),
    "r/lifecycle": Route(lifecycle.show_policy),
    "r/policy": Route(policies.show_policy),
    "r/files": Route(files.show_files),
    "r/compare": Route(comparison.show_comparison),
    "image": Route(images.show_image),
    "image/findings": Route(images.show_findings),
}
POST: Final[Mapping[str, Route]] = {
    "create": Route(repositories.create, "CreateRepository"),
    "trash": Route(trash.restore, "RestoreRepository"),
    "r/settings": Route(repositories.change_settings, "PutImageTagMutability"),
    "r/scanning": Route(repositories.change_scanning, "PutImageScanningConfiguration"),
    "r/lock": Route(repositories.lock, "LockRepository"),
    "r/unlock": Route(repositories.unlock, "UnlockRepository"),
    "r/delete": Route(repositories.delete, "DeleteRepository"),
    "r/lifecycle": Route(lifecycle.put_policy, "PutLifecyclePolicy"),
    "r/lifecycle/preview": Route(lifecycle.preview),
    "r/lifecycle/delete": Route(lifecycle.delete_policy, "DeleteLifecyclePolicy"),
    "r/policy": Route(policies.put_policy, "SetRepositoryPolicy"),
    "r/policy/check": Route(policies.check),
    "r/policy/delete": Route(policies.delete_policy, "DeleteRepositoryPolicy"),
    "image/delete": Route(images.delete_image, "BatchDeleteImage"),
    "image/scan": Route(images.scan_image, "StartImageScan"),
}


def find_route(method: str, path: str) -> tuple[Route | None, str, str]:
    """Give the route of a path below `/console/`, and the repository and digest in it."""
    table = POST if method == "POST" else GET
    match = _IMAGE.fullmatch(path)
    if match is not None:
        page = match["page"]
        return table.get(f"image/{page}" if page else "image"), match["name"], match["digest"]
    match = _REPOSITORY.fullmatch(path)
    if match is not None:
        page = match["page"]
        return table.get(f"r/{page}" if page else "r"), match["name"], ""
    is_special = path == "r" or path.startswith(("r/", "image"))
    return None if is_special else table.get(path), "", ""
