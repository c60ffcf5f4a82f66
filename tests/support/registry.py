"""A registry client's usual steps, and looks behind the registry door."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.images import MadeImage, digest_of
from tests.support.server import Server

KIB = 1024
MIB = 1024 * KIB

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def start_upload(http: httpx.Client, repository: str) -> str:
    """Begin an upload and give its location."""
    answer = http.post(f"/v2/{repository}/blobs/uploads/")
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def finish_upload(http: httpx.Client, location: str, content: bytes) -> httpx.Response:
    """End an upload whose bytes, all sent before, should be `content`."""
    return http.put(location, params={"digest": digest_of(content)})


def push_blob(http: httpx.Client, repository: str, content: bytes) -> str:
    """Push bytes and give their digest."""
    digest = digest_of(content)
    location = start_upload(http, repository)
    answer = http.put(location, params={"digest": digest}, content=content)
    assert answer.status_code == 201, answer.text
    return digest


def pull_blob(http: httpx.Client, repository: str, digest: str) -> bytes:
    """Pull bytes; they must be what their digest says."""
    answer = http.get(f"/v2/{repository}/blobs/{digest}")
    assert answer.status_code == 200, answer.text
    assert digest_of(answer.content) == digest
    return answer.content


def push_blobs(http: httpx.Client, repository: str, image: MadeImage) -> None:
    for blob in image.blobs:
        push_blob(http, repository, blob.content)


def put_manifest(
    http: httpx.Client, repository: str, reference: str, content: str | bytes, media_type: str = ""
) -> httpx.Response:
    """PUT a document as it is; without a media type, no Content-Type is sent."""
    headers = {"Content-Type": media_type} if media_type else {}
    path = f"/v2/{repository}/manifests/{reference}"
    return http.put(path, content=content, headers=headers)


def push_image(http: httpx.Client, repository: str, image: MadeImage, *tags: str) -> str:
    """Push an image under tags, or without any; give its digest."""
    push_blobs(http, repository, image)
    for reference in tags or (image.digest,):
        answer = put_manifest(http, repository, reference, image.manifest)
        assert answer.status_code == 201, answer.text
    return image.digest


def manifest_of(image: MadeImage, media_type: str, **members: Any) -> str:
    """Give the image's manifest as another type, or with members changed (None: left out)."""
    document = {**json.loads(image.manifest), "mediaType": media_type, **members}
    return json.dumps({key: value for key, value in document.items() if value is not None})


def index_of(media_type: str, child_type: str, *children: str) -> str:
    """Give an image index whose entries are these manifests."""
    entries = [
        {"mediaType": child_type, "digest": digest_of(child.encode()), "size": len(child)}
        for child in children
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Give status, code and message of an error, which must be in the specification's form."""
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    document = answer.json()
    assert list(document) == ["errors"]
    (error,) = document["errors"]
    assert set(error) == {"code", "message"}
    return answer.status_code, error["code"], error["message"]


def token_of(server: Server, region: str = "us-east-1") -> str:
    """Give the password of a new authorization token."""
    answer = server.ecr(region=region).get_authorization_token()
    encoded = answer["authorizationData"][0]["authorizationToken"]
    return b64decode(encoded).decode().removeprefix("AWS:")


def forever(step: float = 0.02, limit: float = 60.0) -> Iterator[None]:
    """Go on for a minute at most, with a short rest between the rounds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        yield
        time.sleep(step)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return once it is so; fails after a minute."""
    assert any(is_so() for _ in forever()), "it did not come about within a minute"


def upload_file(server: Server, location: str) -> Path:
    """Give the file that holds an upload's bytes."""
    return server.data / "uploads" / location.rpartition("/")[2]


def size_of(http: httpx.Client, location: str) -> int:
    """Ask how many bytes an upload has that has at least one."""
    answer = http.get(location)
    assert answer.status_code == 204, answer.text
    return int(answer.headers["Range"].removeprefix("0-")) + 1


def workers_of(server: Server) -> list[psutil.Process]:
    """Give the server's worker processes."""
    return psutil.Process(server.process.pid).children()


def writers_of(server: Server, location: str) -> int:
    """Count the requests that have an upload's file open, to write to it or waiting to."""
    path = str(upload_file(server, location))
    return sum(file.path == path for worker in workers_of(server) for file in worker.open_files())


def files_of(server: Server) -> set[str]:
    """Give the names of all files that hold bytes of layers."""
    folders = (server.data / "uploads", server.data / "blobs")
    return {
        str(path.relative_to(server.data))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def some_bytes(size: int, seed: str = "") -> bytes:
    """Give bytes that do not compress, the same each time."""
    return hashlib.shake_128(f"{seed}/{size}".encode()).digest(size)
