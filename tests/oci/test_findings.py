"""What random requests and fuzzing brought to light at the registry door, case by case."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, make_image
from tests.support.registry import error_of, push_blobs, put_manifest
from tests.support.server import Server, running_server
from tests.support.wire import Wire
from tests.support.workers import send


@pytest.fixture(scope="module")
def public_server() -> Iterator[Server]:
    """A server whose challenge names what it is about."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env={"ECRATE_ANONYMOUS_PULL": "true"}) as running,
    ):
        yield running


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a%0d%0aX-Evil:%201", id="header-injection"),
        pytest.param("a%00b", id="nul"),
        pytest.param("a%22,scope=%22b", id="quotes"),
        pytest.param("%ed%a0%80", id="surrogate"),
        pytest.param("x" * 3000, id="long"),
    ],
)
def test_challenge_does_not_repeat_what_is_no_name(public_server: Server, name: str) -> None:
    with Wire(public_server.port) as wire:
        answer = wire.ask("GET", f"/v2/{name}/tags/list")

    realm = f"{public_server.endpoint}/v2/token"
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="{realm}",service="ecr.amazonaws.com"'
    )
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("sizes", [[2**63 - 1, 1], [2**62] * 3], ids=["two", "three"])
def test_layers_too_large_together_are_refused(
    http: httpx.Client, repository: str, sizes: list[int]
) -> None:
    image = make_image(*range(1, 1 + len(sizes)))
    push_blobs(http, repository, image)
    document = json.loads(image.manifest)
    document["layers"] = [
        {**layer, "size": size} for layer, size in zip(document["layers"], sizes, strict=True)
    ]

    answer = put_manifest(http, repository, "latest", json.dumps(document))

    assert error_of(answer)[:2] == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("length", [256, 100_000])
@pytest.mark.parametrize("member", ["artifactType", "config", "layer"])
def test_media_type_that_is_too_long_is_refused(
    http: httpx.Client, repository: str, member: str, length: int
) -> None:
    image = make_image()
    push_blobs(http, repository, image)
    document = json.loads(image.manifest)
    holder = {"artifactType": document, "config": document["config"]}
    holder["layer"] = document["layers"][0]
    holder[member]["artifactType" if member == "artifactType" else "mediaType"] = "x" * length

    answer = put_manifest(http, repository, "latest", json.dumps(document))

    assert error_of(answer)[:2] == (400, "MANIFEST_INVALID")


def test_longest_media_type_is_fine(http: httpx.Client, repository: str) -> None:
    subject = "sha256:" + "1" * 64
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [],
        "artifactType": "x" * 255,
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
    }

    answer = put_manifest(http, repository, "latest", json.dumps(index))

    assert answer.status_code == 201
    (entry,) = http.get(f"/v2/{repository}/referrers/{subject}").json()["manifests"]
    assert entry["artifactType"] == "x" * 255


@pytest.mark.parametrize("digits", ["\u0660-\u0669", "0-\u0669", "\uff10-\uff19"])
def test_content_range_takes_no_other_digits(server: Server, upload: str, digits: str) -> None:
    with Wire(server) as wire:
        answer = send(wire, "PATCH", upload, b"0123456789", {"Content-Range": digits})

    assert (answer.status, answer.code) == (400, "BLOB_UPLOAD_INVALID")


def test_host_with_other_digits_names_no_registry(server: Server, repository: str) -> None:
    account = "".join(chr(0x660 + number % 10) for number in range(12))
    host = f"{account}.dkr.ecr.us-east-1.localhost"
    with Wire(server) as wire:
        answer = wire.ask("GET", f"/v2/{repository}/tags/list", {"Host": host})

    assert answer.status == 400


@pytest.mark.parametrize(("count", "tags"), [("00000000001", ["a"]), ("0" * 20, [])])
def test_count_may_begin_with_any_number_of_zeros(
    http: httpx.Client, repository: str, count: str, tags: list[str]
) -> None:
    image = make_image()
    push_blobs(http, repository, image)
    put_manifest(http, repository, "a", image.manifest)
    put_manifest(http, repository, "b", image.manifest)

    answer = http.get(f"/v2/{repository}/tags/list?n={count}")

    assert answer.json()["tags"] == tags
