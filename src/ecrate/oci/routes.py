"""Which thing of which repository a path under `/v2/` names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from ecrate.oci.errors import RegistryError

KINDS: Final = ("base", "catalog", "tags", "manifest", "blob", "uploads", "upload")


@dataclass(frozen=True, slots=True)
class Route:
    """`kind` is one of `KINDS`; `reference` is a tag, a digest or an upload's id."""

    kind: str
    name: str = ""
    reference: str = ""


def parse_path(path: str) -> Route:
    """Read a path without its query; raises `RegistryError` where it names nothing."""
    if "%" in path:
        path = unquote(path)
    rest = path.removeprefix("/v2/")
    if not rest:
        return Route("base")
    if rest == "_catalog":
        return Route("catalog")
    # The keyword is looked for from the right, since a repository's name may contain it.
    head, _, last = rest.rpartition("/")
    name, _, keyword = head.rpartition("/")
    if keyword == "manifests":
        return Route("manifest", name, last)
    if keyword == "blobs" and last != "uploads":
        return Route("blob", name, last)
    if keyword == "tags" and last == "list":
        return Route("tags", name)
    if keyword == "blobs":
        return Route("uploads", name)
    if keyword == "uploads":
        name, _, keyword = name.rpartition("/")
        if keyword == "blobs":
            return Route("upload", name, last) if last else Route("uploads", name)
    raise RegistryError(404, "NAME_INVALID", "There is nothing at this path of the registry API")


def parse_query(query: str) -> dict[str, str]:
    """Give the query's parameters; of one given twice, the last."""
    return dict(parse_qsl(query, keep_blank_values=True)) if query else {}


def page_size(query: dict[str, str]) -> int:
    """Give `n`, at most 1,000 and 100 by default; raises `RegistryError`."""
    given = query.get("n")
    if given is None:
        return 100
    if not given.isascii() or not given.isdigit():
        raise RegistryError(400, "UNSUPPORTED", "'n' must be a count of results")
    return min(int(given[:10]), 1000)
