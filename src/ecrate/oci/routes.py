"""Which thing of which repository a path under `/v2/` names."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, unquote

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.values import value
from ecrate.oci.errors import RegistryError

KINDS: Final = (
    "base",
    "catalog",
    "tags",
    "manifest",
    "blob",
    "uploads",
    "upload",
    "referrers",
    "token",
    "nowhere",
)


_ALONE: Final = {"": "base", "_catalog": "catalog", "token": "token"}
_REFERENCED: Final = {"manifests": "manifest", "blobs": "blob", "referrers": "referrers"}
_MAX_PAGE: Final = 1000


@value
class Route:
    """`kind` is one of `KINDS`; `reference` is a tag, a digest or an upload's id."""

    kind: str
    name: str = ""
    reference: str = ""


def parse_path(path: str) -> Route:
    """Read a path without its query; the kind is `nowhere` where it names nothing."""
    if "%" in path:
        path = unquote(path)
    rest = path.removeprefix("/v2/")
    if rest in _ALONE:
        return Route(_ALONE[rest])
    route = _in_repository(rest)
    return Route("nowhere") if route is None or not route.name else route


def _in_repository(rest: str) -> Route | None:
    # The keyword is looked for from the right, since a repository's name may contain it.
    head, _, last = rest.rpartition("/")
    name, _, keyword = head.rpartition("/")
    if keyword == "uploads":
        name, _, blobs = name.rpartition("/")
        if blobs == "blobs":
            return Route("upload", name, last) if last else Route("uploads", name)
    elif keyword == "blobs" and last == "uploads":
        return Route("uploads", name)
    elif keyword == "tags" and last == "list":
        return Route("tags", name)
    elif keyword in _REFERENCED:
        return Route(_REFERENCED[keyword], name, last)
    return None


class Query:
    """The parameters of a query; `get` gives the last of one that is given several times."""

    __slots__ = ("_pairs",)

    def __init__(self, text: str) -> None:
        self._pairs = parse_qsl(text, keep_blank_values=True) if text else []

    def get(self, name: str) -> str | None:
        return next((value for key, value in reversed(self._pairs) if key == name), None)

    def names(self) -> list[str]:
        """Give the names of all parameters, each once."""
        return list(dict.fromkeys(key for key, _ in self._pairs))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


def page_size(query: Query, *, parity: bool) -> int:
    """Give `n`, at most 1,000 and 100 by default; raises `RegistryError`."""
    given = query.get("n")
    if given is None:
        return 100
    if not given.isascii() or not given.isdigit():
        raise RegistryError(400, "UNSUPPORTED", "'n' must be a count of results")
    count = int(given.lstrip("0")[:10] or "0")
    if count > _MAX_PAGE and parity:
        # AWS: as users of ECR's registry endpoint have published it.
        constraint = f"Member must have value less than or equal to {_MAX_PAGE}"
        raise RegistryError(405, "UNSUPPORTED", str(InvalidParameter("maxResults", constraint)))
    return min(count, _MAX_PAGE)
