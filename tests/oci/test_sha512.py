"""sha512: the specification's second digest, for blobs, manifests and all that names them."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, digest_of, make_image
from tests.support.registry import (
    MIB,
    error_of,
    pull_blob,
    push_blobs,
    push_image,
    put_manifest,
    some_bytes,
)
from tests.support.server import Server
from tests.support.workers import a_wire_to_each_worker, ask_each_worker, send

CONTENT = some_bytes(3 * MIB + 12345, "sha512")


def sha512(content: bytes | str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return "sha512:" + hashlib.sha512(data).hexdigest()


DIGEST = sha512(CONTENT)


def start(http: httpx.Client, repository: str, algorithm: str = "sha512") -> httpx.Response:
    path = f"/v2/{repository}/blobs/uploads/"
    return http.post(path, params={"digest-algorithm": algorithm})


@pytest.mark.parametrize("algorithm", ["sha512", "sha256", None], ids=["told", "wrong", "untold"])
def test_push_in_chunks(http: httpx.Client, repository: str, algorithm: str | None) -> None:
    parameters = {} if algorithm is None else {"digest-algorithm": algorithm}
    begun = http.post(f"/v2/{repository}/blobs/uploads/", params=parameters)
    location = begun.headers["Location"]
    http.patch(location, content=CONTENT[:MIB])
    http.patch(location, content=CONTENT[MIB:])

    answer = http.put(location, params={"digest": DIGEST})

    assert begun.status_code == 202
    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == DIGEST
    assert answer.headers["Location"] == f"/v2/{repository}/blobs/{DIGEST}"
    pulled = http.get(answer.headers["Location"])
    assert pulled.content == CONTENT
    assert pulled.headers["Docker-Content-Digest"] == DIGEST
    assert pulled.headers["ETag"] == f'"{DIGEST}"'


def test_push_in_one_request(http: httpx.Client, repository: str) -> None:
    path = f"/v2/{repository}/blobs/uploads/"

    answer = http.post(path, params={"digest": DIGEST}, content=CONTENT)

    assert answer.status_code == 201
    assert http.get(f"/v2/{repository}/blobs/{DIGEST}").content == CONTENT


def test_push_in_two_requests(http: httpx.Client, repository: str) -> None:
    location = start(http, repository).headers["Location"]

    answer = http.put(location, params={"digest": DIGEST}, content=CONTENT)

    assert answer.status_code == 201
    assert http.get(f"/v2/{repository}/blobs/{DIGEST}").content == CONTENT


def test_upload_told_sha512_may_end_as_sha256(http: httpx.Client, repository: str) -> None:
    location = start(http, repository).headers["Location"]
    http.patch(location, content=CONTENT)

    answer = http.put(location, params={"digest": digest_of(CONTENT)})

    assert answer.status_code == 201
    assert pull_blob(http, repository, digest_of(CONTENT)) == CONTENT
    assert http.head(f"/v2/{repository}/blobs/{DIGEST}").status_code == 404


@pytest.mark.parametrize("size", [1, 65_537, 300_000], ids=["bytes", "odd", "pieces"])
def test_chunks_may_go_to_any_worker(crowd: Server, crowded: str, size: int) -> None:
    content = some_bytes(size * 8 + 5, "workers")
    chunks = [content[first : first + size] for first in range(0, len(content), size)]
    with crowd.http() as http, a_wire_to_each_worker(crowd) as wires:
        location = start(http, crowded).headers["Location"]
        answers = [
            send(wires[number % 4], "PATCH", location, chunk) for number, chunk in enumerate(chunks)
        ]

        answer = send(wires[3], "PUT", f"{location}?digest={sha512(content)}", b"")

    assert {one.status for one in answers} == {202}
    assert answers[-1].headers["Range"] == f"0-{len(content) - 1}"
    assert answer.status == 201
    path = f"/v2/{crowded}/blobs/{sha512(content)}"
    assert [one.body for one in ask_each_worker(crowd, "GET", path)] == [content] * 4


@pytest.mark.parametrize(
    "algorithm", ["sha1", "sha384", "md5", "SHA512", "sha512 ", "sha512:", "\0", "x" * 2000, "é"]
)
def test_unknown_algorithm_is_refused(http: httpx.Client, repository: str, algorithm: str) -> None:
    answer = start(http, repository, algorithm)

    message = "'digest-algorithm' must be one of sha256, sha512"
    assert error_of(answer) == (400, "DIGEST_INVALID", message)
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param("sha512:" + "0" * 128, id="other"),
        pytest.param("sha512:" + "0" * 127, id="short"),
        pytest.param("sha512:" + "0" * 129, id="long"),
        pytest.param(DIGEST.upper(), id="capitals"),
        pytest.param("sha512:" + "0" * 64, id="as-long-as-sha256"),
        pytest.param("sha256:" + "0" * 128, id="sha256-as-long"),
        pytest.param("sha384:" + hashlib.sha384(CONTENT).hexdigest(), id="sha384"),
    ],
)
def test_digest_the_bytes_do_not_have_is_refused(
    http: httpx.Client, repository: str, digest: str
) -> None:
    location = start(http, repository).headers["Location"]
    http.patch(location, content=CONTENT)

    answers = [http.put(location, params={"digest": one}) for one in (digest, DIGEST)]

    assert error_of(answers[0])[:2] == (400, "DIGEST_INVALID")
    assert answers[1].status_code == 201


def test_same_bytes_under_both_digests_are_two_blobs(http: httpx.Client, repository: str) -> None:
    path = f"/v2/{repository}/blobs/uploads/"
    http.post(path, params={"digest": DIGEST}, content=CONTENT)
    http.post(path, params={"digest": digest_of(CONTENT)}, content=CONTENT)

    answer = http.delete(f"/v2/{repository}/blobs/{DIGEST}")

    assert answer.status_code == 202
    assert pull_blob(http, repository, digest_of(CONTENT)) == CONTENT


def test_manifest_by_its_sha512_digest(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_blobs(http, repository, image)
    digest = sha512(image.manifest)

    answer = put_manifest(http, repository, digest, image.manifest)

    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Location"] == f"/v2/{repository}/manifests/{digest}"
    got, head = (
        http.request(method, f"/v2/{repository}/manifests/{digest}") for method in ("GET", "HEAD")
    )
    assert got.text == image.manifest
    assert got.headers["Docker-Content-Digest"] == head.headers["Docker-Content-Digest"] == digest
    assert http.get(f"/v2/{repository}/manifests/{image.digest}").status_code == 404


@pytest.mark.parametrize("digest", ["sha512:" + "0" * 128, "sha512:" + "0" * 64])
def test_manifest_has_to_have_its_digest(http: httpx.Client, repository: str, digest: str) -> None:
    image = make_image()
    push_blobs(http, repository, image)

    answer = put_manifest(http, repository, digest, image.manifest)

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")


def test_tags_lead_to_the_sha512_digest_they_were_pushed_with(
    http: httpx.Client, repository: str
) -> None:
    image = make_image()
    push_blobs(http, repository, image)
    digest = sha512(image.manifest)

    answer = http.put(
        f"/v2/{repository}/manifests/{digest}?tag=one&tag=two", content=image.manifest
    )

    assert answer.headers["OCI-Tag"] == "one, two"
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == ["one", "two"]
    head = http.head(f"/v2/{repository}/manifests/two")
    assert head.headers["Docker-Content-Digest"] == digest


def test_one_manifest_under_both_digests_is_two_images(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_image(http, repository, image, "short")
    http.put(
        f"/v2/{repository}/manifests/{sha512(image.manifest)}?tag=long", content=image.manifest
    )

    answer = http.delete(f"/v2/{repository}/manifests/{sha512(image.manifest)}")

    assert answer.status_code == 202
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == ["short"]
    assert http.get(f"/v2/{repository}/manifests/{image.digest}").text == image.manifest


def push_layers_as_sha512(http: httpx.Client, repository: str, image: MadeImage) -> str:
    """Push the image's blobs and give its manifest, with sha512 digests throughout."""
    document = json.loads(image.manifest)
    descriptors = [document["config"], *document["layers"]]
    for blob, descriptor in zip(image.blobs, descriptors, strict=True):
        descriptor["digest"] = sha512(blob.content)
        path = f"/v2/{repository}/blobs/uploads/?digest={descriptor['digest']}"
        assert http.post(path, content=blob.content).status_code == 201
    return json.dumps(document)


def test_image_of_sha512_layers_in_a_sha512_index(http: httpx.Client, repository: str) -> None:
    image = make_image()
    manifest = push_layers_as_sha512(http, repository, image)
    entry = {"mediaType": OCI_MANIFEST, "digest": sha512(manifest), "size": len(manifest)}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})

    answers = [
        put_manifest(http, repository, sha512(manifest), manifest),
        put_manifest(http, repository, sha512(index), index, OCI_INDEX),
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    layer = sha512(image.layers[0].content)
    assert http.delete(f"/v2/{repository}/blobs/{layer}").status_code == 405
    assert http.delete(f"/v2/{repository}/manifests/{sha512(manifest)}").status_code == 405


def test_image_is_the_same_to_the_aws_door(
    server: Server, http: httpx.Client, repository: str
) -> None:
    image, ecr = MadeImage(make_image().config, (Blob(CONTENT),)), server.ecr()
    push_blobs(http, repository, image)
    digest = sha512(image.manifest)
    http.put(f"/v2/{repository}/manifests/{digest}?tag=latest", content=image.manifest)

    found = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "latest"}])
    listed = ecr.list_images(repositoryName=repository)["imageIds"]

    assert found["images"][0]["imageManifest"] == image.manifest
    assert listed == [{"imageDigest": digest, "imageTag": "latest"}]
