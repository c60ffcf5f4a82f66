"""Compares a server with what it acknowledged: through its doors, in its database, on its disk.

Each function gives a line for each broken promise.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from ecrate.store.database import Row
from tests.support.images import digest_of
from tests.support.pushers import Ledger
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ImageIdentifierTypeDef

_PAGE = 100


def audit_doors(server: Server, ledgers: Sequence[Ledger]) -> Iterator[str]:
    """Pull everything that is listed, and look for everything that was acknowledged."""
    ecr = server.ecr()
    with server.http() as http:
        pages = ecr.get_paginator("describe_repositories").paginate()
        found = [one["repositoryName"] for page in pages for one in page["repositories"]]
        for ledger in ledgers:
            for name in ledger.gone & set(found):
                yield f"repository {name} is there after it was deleted"
            mine = {name for name, _ in ledger.begun} & set(found)
            for name in sorted(mine):
                yield from _audit_repository(ecr, http, ledger, name)
            for name, tag in ledger.images:
                if name not in mine:
                    yield f"{name}:{tag} is gone with its repository"
    ecr.close()


def _audit_repository(
    ecr: ECRClient, http: httpx.Client, ledger: Ledger, name: str
) -> Iterator[str]:
    manifests = _manifests(ecr, name)
    needed = set()
    for digest, manifest in manifests.items():
        if digest_of(manifest.encode()) != digest:
            yield f"the manifest of {name}@{digest} is another one: {manifest[:200]}"
        document = json.loads(manifest)
        needed |= {one["digest"] for one in (document["config"], *document["layers"])}
    yield from _audit_images(http, ledger, name, manifests)
    needed |= {digest for of, digest in ledger.layers if of == name}
    available = _available(
        ecr, name, needed | {digest for of, digest in ledger.begun if of == name}
    )
    for digest in needed - available:
        yield f"{name} has no layer {digest}"
    for number, digest in enumerate(sorted(available)):
        url = f"/v2/{name}/blobs/{digest}"
        if number % 2:
            answer = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=digest)
            url = answer["downloadUrl"]
        status, actual = _download(http, url)
        if (status, actual) != (200, digest):
            yield f"layer {digest} of {name} comes as {status} {actual} from {url}"


def _audit_images(
    http: httpx.Client, ledger: Ledger, name: str, manifests: dict[str, str]
) -> Iterator[str]:
    for (of, tag), kept in ledger.images.items():
        if of == name:
            pulled = http.get(f"/v2/{name}/manifests/{tag}")
            if pulled.text != kept.manifest:
                yield f"{name}:{tag} comes as {pulled.status_code} {pulled.text[:200]}"
            if kept.digest not in manifests:
                yield f"{name}:{tag} is not listed"
    for of, digest in ledger.deleted:
        if of == name and digest in manifests:
            yield f"{name}@{digest} is there after it was deleted"
    if name in ledger.latest:
        digest = http.head(f"/v2/{name}/manifests/latest").headers.get("Docker-Content-Digest")
        if digest not in ledger.latest[name]:
            yield f"{name}:latest is at {digest} instead of {ledger.latest[name]}"


def _manifests(ecr: ECRClient, name: str) -> dict[str, str]:
    """Give all manifests of the repository by the digest under which they are listed."""
    pages = ecr.get_paginator("list_images").paginate(repositoryName=name)
    digests = sorted({one["imageDigest"] for page in pages for one in page["imageIds"]})
    manifests = dict.fromkeys(digests, "")
    for some in _chunks(digests):
        image_ids: list[ImageIdentifierTypeDef] = [{"imageDigest": digest} for digest in some]
        answer = ecr.batch_get_image(repositoryName=name, imageIds=image_ids)
        for image in answer["images"]:
            manifests[image["imageId"]["imageDigest"]] = image["imageManifest"]
    return manifests


def _available(ecr: ECRClient, name: str, digests: Iterable[str]) -> set[str]:
    """Give those of the digests that the repository says it has."""
    available = set()
    for some in _chunks(sorted(digests)):
        answer = ecr.batch_check_layer_availability(repositoryName=name, layerDigests=some)
        available |= {
            layer["layerDigest"]
            for layer in answer["layers"]
            if layer["layerAvailability"] == "AVAILABLE"
        }
    return available


def _chunks(items: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _PAGE):
        yield list(items[start : start + _PAGE])


def _download(http: httpx.Client, url: str) -> tuple[int, str]:
    """Give the status of a download and the digest of what came."""
    sha256 = hashlib.sha256()
    with http.stream("GET", url) as response:
        for piece in response.iter_raw():
            sha256.update(piece)
    return response.status_code, f"sha256:{sha256.hexdigest()}"


_COUNTERS = {
    "images of a repository": (
        "SELECT id, image_count, (SELECT count(*) FROM images WHERE repository_id = r.id) "
        "FROM repositories r"
    ),
    "tags of an image": (
        "SELECT id, tag_count, (SELECT count(*) FROM tags WHERE image_id = i.id) FROM images i"
    ),
    "images of a layer": (
        "SELECT blob_id, image_count, (SELECT count(*) FROM image_layers "
        "WHERE repository_id = l.repository_id AND blob_id = l.blob_id) FROM layers l"
    ),
    "repositories of a registry": (
        "SELECT id, repository_count, (SELECT count(*) FROM repositories "
        "WHERE registry_id = g.id AND region = g.region) FROM registries g"
    ),
}


_FORGOTTEN = (
    "SELECT digest FROM blobs WHERE id NOT IN (SELECT blob_id FROM layers) "
    "AND id NOT IN (SELECT blob_id FROM unlinked_blobs)"
)


def audit_data(data: Path) -> Iterator[str]:
    """Check the database, and the files against its rows; the server is not running."""
    with contextlib.closing(sqlite3.connect(data / "ecrate.db")) as database:
        for pragma in ("integrity_check", "foreign_key_check"):
            for row in database.execute(f"PRAGMA {pragma}"):
                if row != ("ok",):
                    yield f"{pragma}: {row}"
        yield from audit_rows(database.execute, data)


def audit_rows(ask: Callable[[str], Iterable[Row]], data: Path) -> Iterator[str]:
    """Check rows against each other and the files in `data`; `ask` runs a query."""
    yield from audit_counters(ask)
    yield from _audit_files(ask, data)


def audit_counters(ask: Callable[[str], Iterable[Row]]) -> Iterator[str]:
    """Check rows against each other."""
    for what, query in _COUNTERS.items():
        for identity, counted, actual in ask(query):
            if counted != actual:
                yield f"{what} {identity}: counted {counted}, there are {actual}"
    for (digest,) in ask(_FORGOTTEN):
        yield f"blob {digest} has no link, and the collector does not know"


def _audit_files(ask: Callable[[str], Iterable[Row]], data: Path) -> Iterator[str]:
    blobs: dict[str, str] = dict(ask("SELECT key, digest FROM blobs WHERE lost_at IS NULL"))
    lost = {key for (key,) in ask("SELECT key FROM blobs WHERE lost_at IS NOT NULL")}
    open_uploads = {key for (key,) in ask("SELECT id FROM uploads WHERE completed_digest IS NULL")}
    garbage = {key for (key,) in ask("SELECT key FROM garbage")}
    for key in garbage & (blobs.keys() | open_uploads):
        yield f"{key} is garbage and in use"
    # Behind a dot is what makes the name of a copy under way another's than the blob's.
    found = sorted((data / "blobs").glob("*/*"), reverse=True)
    files = {file.name.partition(".")[0]: file for file in found}
    for key, digest in blobs.items():
        if key not in files:
            yield f"blob {digest} has no file {key}"
        elif (actual := _file_digest(files[key])) != digest:
            yield f"the file of blob {digest} has digest {actual}"
    # A file that no blob has yet is an upload's whose completion got no answer.
    for key in files.keys() - blobs.keys() - lost - garbage - open_uploads:
        yield f"{files[key]} is nobody's"
    growing = {file.name for file in (data / "uploads").iterdir()}
    for key in growing - garbage - open_uploads:
        yield f"uploads/{key} is nobody's"


def _file_digest(file: Path) -> str:
    with file.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
