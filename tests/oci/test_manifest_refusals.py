"""Documents that are no manifests, and manifests that are too large."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, make_image
from tests.support.registry import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MIB,
    error_of,
    manifest_of,
    push_blobs,
    put_manifest,
)
from tests.support.server import Server
from tests.support.wire import Wire

LIMIT = 4_194_304
DIGEST = "sha256:" + "0" * 64
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 2}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": 2}
PREFIX = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: '"


def image_with(**members: Any) -> bytes:
    """Give an OCI image manifest with members changed or added."""
    base = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
    return json.dumps({**base, **members}).encode()


def index_with(**members: Any) -> bytes:
    """Give an OCI image index with members changed or added."""
    entry = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 2}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], **members}
    ).encode()


def layer_with(**members: Any) -> bytes:
    """Give an image whose only layer has members changed (None: left out)."""
    layer = {key: value for key, value in {**LAYER, **members}.items() if value is not None}
    return image_with(layers=[layer])


NO_JSON = "Invalid JSON syntax"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", NO_JSON, id="empty"),
        pytest.param(b"{", NO_JSON, id="unfinished"),
        pytest.param(b"null", NO_JSON, id="null"),
        pytest.param(b"[]", NO_JSON, id="list"),
        pytest.param(b'"text"', NO_JSON, id="text"),
        pytest.param(b"2", NO_JSON, id="number"),
        pytest.param(image_with() + b"x", NO_JSON, id="something-behind"),
        pytest.param(image_with() + image_with(), NO_JSON, id="two-documents"),
        pytest.param(b"\xef\xbb\xbf" + image_with(), NO_JSON, id="byte-order-mark"),
        pytest.param(image_with().decode().encode("utf-16"), NO_JSON, id="utf-16"),
        pytest.param(image_with(note="x").replace(b'"x"', b'"\xff"'), NO_JSON, id="not-utf8"),
        pytest.param(
            image_with(note="x").replace(b'"x"', b'"\xed\xa0\x80"'), NO_JSON, id="surrogate-bytes"
        ),
        pytest.param(image_with(note="\ud800"), NO_JSON, id="half-a-surrogate"),
        pytest.param(image_with(artifactType="\udfff"), NO_JSON, id="half-an-artifact-type"),
        pytest.param(layer_with(mediaType="\ud800"), NO_JSON, id="half-a-layer-type"),
        pytest.param(image_with(note=float("nan")), NO_JSON, id="nan"),
        pytest.param(image_with(note=float("-inf")), NO_JSON, id="infinity"),
        pytest.param(
            image_with(note=1).replace(b'"note": 1', b'"note": 01'), NO_JSON, id="leading-zero"
        ),
        pytest.param(
            image_with(note=1).replace(b'"note": 1', b'"note": ' + b"9" * 5000),
            NO_JSON,
            id="far-too-many-digits",
        ),
        pytest.param(b"[" * 200_000, NO_JSON, id="deep-lists"),
        pytest.param(b'{"a":' * 200_000, NO_JSON, id="deep-objects"),
        pytest.param(
            image_with(note="x").replace(b'"x"', b"[" * 100_000 + b"]" * 100_000),
            NO_JSON,
            id="deep-but-balanced",
        ),
        pytest.param(
            image_with().replace(b"{", b'{"config": {}, ', 1), NO_JSON, id="duplicate-key"
        ),
        pytest.param(
            layer_with().replace(b'"size": 2}]', b'"size": 2, "size": 3}]'),
            NO_JSON,
            id="duplicate-key-inside",
        ),
        pytest.param(
            image_with(note=1).replace(b'"note"', b'"\\u006dediaType"'),
            NO_JSON,
            id="duplicate-key-in-disguise",
        ),
    ],
)
def test_put_manifest_refuses_what_is_no_json_object(
    http: httpx.Client, repository: str, content: bytes, complaint: str
) -> None:
    answer = put_manifest(http, repository, "latest", content, OCI_MANIFEST)

    assert error_of(answer) == (400, "MANIFEST_INVALID", f"{PREFIX}{complaint}'")
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == []


@pytest.mark.parametrize(
    ("content", "media_type", "complaint"),
    [
        pytest.param(
            image_with(manifests=[]),
            OCI_MANIFEST,
            "An image manifest must not have 'manifests'",
            id="image-that-is-an-index",
        ),
        pytest.param(
            index_with(layers=[LAYER]),
            OCI_INDEX,
            "An image index must not have 'layers' or 'config'",
            id="index-with-layers",
        ),
        pytest.param(
            index_with(config=CONFIG),
            OCI_INDEX,
            "An image index must not have 'layers' or 'config'",
            id="index-with-config",
        ),
        pytest.param(
            image_with(),
            OCI_INDEX,
            f"The manifest's mediaType '{OCI_MANIFEST}' differs from the declared '{OCI_INDEX}'",
            id="image-declared-as-index",
        ),
        pytest.param(
            image_with(),
            DOCKER_MANIFEST,
            f"The manifest's mediaType '{OCI_MANIFEST}' differs from the declared "
            f"'{DOCKER_MANIFEST}'",
            id="oci-declared-as-docker",
        ),
        pytest.param(
            index_with(),
            DOCKER_LIST,
            f"The manifest's mediaType '{OCI_INDEX}' differs from the declared '{DOCKER_LIST}'",
            id="index-declared-as-list",
        ),
        pytest.param(
            image_with(mediaType=OCI_INDEX), "", "An image index must not have", id="image-as-index"
        ),
        pytest.param(
            index_with(mediaType=OCI_MANIFEST),
            "",
            "An image manifest must not",
            id="index-as-image",
        ),
        pytest.param(
            image_with(mediaType="text/plain"), "", "Unsupported manifest media type", id="no-type"
        ),
        pytest.param(
            image_with(mediaType=""), "text/plain", "Unsupported manifest media", id="empty-type"
        ),
        pytest.param(
            image_with(mediaType=""), "\udcff", "Unsupported manifest media", id="type-not-utf8"
        ),
        pytest.param(image_with(mediaType=7), "", "'mediaType' must be a string", id="type-number"),
        pytest.param(
            b'{"schemaVersion": 2}', "", "Manifest media type must be provided", id="untyped"
        ),
        pytest.param(
            b'{"schemaVersion": 1, "fsLayers": [], "history": []}',
            "application/vnd.docker.distribution.manifest.v1+json",
            "Unsupported manifest media type",
            id="schema-1",
        ),
        pytest.param(image_with(schemaVersion=1), "", "'schemaVersion' must be 2", id="version-1"),
        pytest.param(
            image_with(schemaVersion="2"), "", "'schemaVersion' must be 2", id="version-text"
        ),
        pytest.param(image_with(config=None), "", "'config' must be", id="no-config"),
        pytest.param(image_with(config=[]), "", "'config' must be", id="config-list"),
        pytest.param(image_with(layers=None), "", "'layers' must be a list", id="no-layers"),
        pytest.param(image_with(layers={}), "", "'layers' must be a list", id="layers-object"),
        pytest.param(image_with(layers=[7]), "", "'layers[0]' must be", id="layer-number"),
        pytest.param(index_with(manifests=None), "", "'manifests' must be", id="no-manifests"),
        pytest.param(index_with(manifests=["x"]), "", "'manifests[0]' must", id="entry-text"),
        pytest.param(layer_with(digest=None), "", "'layers[0]' needs", id="no-digest"),
        pytest.param(layer_with(digest=7), "", "'layers[0]' needs", id="digest-number"),
        pytest.param(layer_with(digest="x"), "", "'layers[0].digest' is not", id="bad-digest"),
        pytest.param(
            layer_with(digest="sha256:../../x"), "", "'layers[0].digest' is not", id="traversal"
        ),
        pytest.param(layer_with(mediaType=None), "", "'layers[0]' needs", id="no-layer-type"),
        pytest.param(layer_with(size=None), "", "'layers[0].size' must be", id="no-size"),
        pytest.param(layer_with(size=-1), "", "'layers[0].size' must be", id="negative-size"),
        pytest.param(layer_with(size=1.5), "", "'layers[0].size' must be", id="half-a-byte"),
        pytest.param(layer_with(size=True), "", "'layers[0].size' must be", id="size-true"),
        pytest.param(layer_with(size="2"), "", "'layers[0].size' must be", id="size-text"),
        pytest.param(layer_with(size=2**63), "", "'layers[0].size' must be", id="size-too-large"),
        pytest.param(image_with(subject=7), "", "'subject' must be", id="subject-number"),
        pytest.param(image_with(subject={}), "", "'subject' needs", id="subject-empty"),
        pytest.param(
            image_with(artifactType=7), "", "'artifactType' must be a text", id="artifact-type"
        ),
    ],
)
def test_put_manifest_refuses_what_is_no_manifest(
    server: Server, repository: str, content: bytes, media_type: str, complaint: str
) -> None:
    with Wire(server) as wire:
        length = str(len(content))
        headers = {"Content-Type": media_type, "Content-Length": length}
        wire.head("PUT", f"/v2/{repository}/manifests/latest", headers)
        wire.send(content)
        answer = wire.answer()
        tags = wire.ask("GET", f"/v2/{repository}/tags/list")

    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    assert f"{PREFIX}{complaint}" in answer.body.decode()
    assert tags.body == b'{"name":"%b","tags":[]}' % repository.encode()


@pytest.fixture
def image(http: httpx.Client, repository: str) -> MadeImage:
    """An image whose blobs are in the repository."""
    made = make_image()
    push_blobs(http, repository, made)
    return made


def test_put_manifest_keeps_text_of_all_kinds(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    annotations = {"emoji": "\U0001f433", "nul": "\x00", "combining": "e\u0301", "": ""}
    content = manifest_of(image, OCI_MANIFEST, annotations=annotations)

    answer = put_manifest(http, repository, "latest", content)

    assert answer.status_code == 201, answer.text
    assert http.get(f"/v2/{repository}/manifests/latest").text == content


@pytest.mark.parametrize("is_streamed", [False, True], ids=["length", "chunked"])
def test_put_manifest_accepts_the_largest(
    http: httpx.Client, repository: str, image: MadeImage, *, is_streamed: bool
) -> None:
    content = image.manifest.encode().ljust(LIMIT)

    answer = http.put(
        f"/v2/{repository}/manifests/latest", content=iter([content]) if is_streamed else content
    )

    assert answer.status_code == 201, answer.text
    assert http.get(f"/v2/{repository}/manifests/latest").content == content


@pytest.mark.parametrize("length", [LIMIT + 1, 10**15], ids=["one-more", "far-more"])
def test_put_manifest_refuses_a_larger_one_before_it_is_read(
    server: Server, repository: str, length: int
) -> None:
    with Wire(server) as wire:
        wire.head("PUT", f"/v2/{repository}/manifests/latest", {"Content-Length": length})
        answer = wire.answer()

    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert answer.body.decode().count("larger than the 4194304 bytes accepted here") == 1


def test_put_manifest_refuses_a_larger_one_while_it_is_read(
    server: Server, http: httpx.Client, repository: str, image: MadeImage
) -> None:
    chunk = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
    with Wire(server) as wire:
        wire.head("PUT", f"/v2/{repository}/manifests/latest", {"Transfer-Encoding": "chunked"})
        wire.send(chunk * 6)
        answer = wire.answer()

    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == []
    assert put_manifest(http, repository, "latest", image.manifest).status_code == 201


@pytest.mark.parametrize("length", [1000, 3 * MIB], ids=["small", "large"])
def test_put_manifest_whose_client_goes_stores_nothing(
    server: Server, http: httpx.Client, repository: str, image: MadeImage, length: int
) -> None:
    content = image.manifest.encode().ljust(length)
    with Wire(server) as wire:
        wire.head("PUT", f"/v2/{repository}/manifests/latest", {"Content-Length": length})
        wire.send(content[:-1])
        wire.end()
        wire.rest()

    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == []
    assert put_manifest(http, repository, "latest", image.manifest).status_code == 201
