"""Manifests: what a document is, what it needs, and which documents are refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_MANIFEST_SIZE,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    Storage,
    parse_manifest,
)
from ecrate.domain.names import Digest
from tests.support.shapes import ANYTHING

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha512:" + "cd" * 64
CONFIG = {"mediaType": "application/config", "digest": DIGEST, "size": 2}
LAYER = {"mediaType": "application/layer", "digest": OTHER, "size": 3}
IMAGE = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER, LAYER]}
INDEX = {"schemaVersion": 2, "manifests": [CONFIG, LAYER]}


def parse(document: Any, media_type: str | None = None) -> Manifest:
    return parse_manifest(json.dumps(document).encode(), media_type)


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def test_image_needs_its_config_and_then_its_layers() -> None:
    manifest = parse(IMAGE | {"mediaType": OCI_MANIFEST})

    assert manifest.layers == (
        Descriptor(Digest(DIGEST), 2, "application/config"),
        Descriptor(Digest(OTHER), 3, "application/layer"),
        Descriptor(Digest(OTHER), 3, "application/layer"),
    )
    assert manifest.children == ()
    assert manifest.size == 8
    assert manifest.artifact_media_type == "application/config"


def test_index_needs_its_images() -> None:
    manifest = parse(INDEX | {"mediaType": OCI_INDEX})

    assert [child.digest.text for child in manifest.children] == [DIGEST, OTHER]
    assert manifest.layers == ()
    assert manifest.size == 0
    assert manifest.artifact_media_type is None


@pytest.mark.parametrize(
    ("document", "declared", "media_type"),
    [
        pytest.param(IMAGE, None, OCI_MANIFEST, id="image"),
        pytest.param(INDEX, None, OCI_INDEX, id="index"),
        pytest.param(IMAGE, DOCKER_MANIFEST, DOCKER_MANIFEST, id="declared"),
        pytest.param(IMAGE | {"mediaType": DOCKER_MANIFEST}, None, DOCKER_MANIFEST, id="inside"),
        pytest.param(IMAGE | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST, OCI_MANIFEST, id="both"),
        pytest.param(IMAGE | {"mediaType": ""}, OCI_MANIFEST, OCI_MANIFEST, id="empty-inside"),
        pytest.param(INDEX, DOCKER_LIST, DOCKER_LIST, id="list"),
    ],
)
def test_media_type_is_what_the_document_and_its_client_say(
    document: dict[str, Any], declared: str | None, media_type: str
) -> None:
    assert parse(document, declared).media_type == media_type


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digest_is_of_the_bytes_as_they_came(algorithm: str) -> None:
    content = json.dumps(IMAGE, indent=3).encode() + b"\n"

    manifest = parse_manifest(content, algorithm=algorithm)

    assert manifest.content == content
    assert str(manifest.digest) == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def test_layer_with_urls_is_foreign() -> None:
    foreign = LAYER | {"urls": ["https://elsewhere.example/layer"]}

    manifest = parse(IMAGE | {"layers": [foreign, LAYER | {"urls": []}]})

    assert [layer.is_foreign for layer in manifest.layers] == [False, True, False]


def test_artifact_type_and_subject_are_kept() -> None:
    manifest = parse(
        IMAGE
        | {
            "artifactType": "application/sbom",
            "subject": CONFIG,
            "annotations": {"a": "b"},
        }
    )

    assert manifest.artifact_media_type == "application/sbom"
    assert manifest.subject == Digest(DIGEST)
    assert manifest.annotations == {"a": "b"}


@pytest.mark.parametrize(
    ("document", "declared", "complaint"),
    [
        pytest.param([], None, "Invalid JSON syntax", id="list"),
        pytest.param("x", None, "Invalid JSON syntax", id="string"),
        pytest.param({}, None, "Manifest media type must be provided", id="nothing"),
        pytest.param(
            {"schemaVersion": 2, "layers": []}, None, "media type must be provided", id="neither"
        ),
        pytest.param(IMAGE | {"mediaType": 5}, None, "'mediaType' must be a string", id="number"),
        pytest.param(
            IMAGE | {"mediaType": OCI_MANIFEST}, OCI_INDEX, "differs from the declared", id="differ"
        ),
        pytest.param(IMAGE, "text/plain", "Unsupported manifest media type", id="unsupported"),
        pytest.param(
            IMAGE,
            "application/vnd.docker.distribution.manifest.v1+json",
            "Unsupported manifest media type",
            id="schema-1",
        ),
        pytest.param(
            IMAGE | {"schemaVersion": 1}, None, "'schemaVersion' must be 2", id="version-1"
        ),
        pytest.param(
            without(IMAGE, "schemaVersion"), None, "'schemaVersion' must be 2", id="no-version"
        ),
        pytest.param(
            IMAGE | {"manifests": []}, OCI_MANIFEST, "must not have 'manifests'", id="both-image"
        ),
        pytest.param(
            INDEX | {"layers": []}, None, "must not have 'layers' or 'config'", id="index-layers"
        ),
        pytest.param(
            INDEX | {"config": CONFIG},
            None,
            "must not have 'layers' or 'config'",
            id="index-config",
        ),
        pytest.param(
            without(IMAGE, "config"), OCI_MANIFEST, "'config' must be a descriptor", id="no-config"
        ),
        pytest.param(
            without(IMAGE, "layers"), OCI_MANIFEST, "'layers' must be a list", id="no-layers"
        ),
        pytest.param(
            without(INDEX, "manifests"), OCI_INDEX, "'manifests' must be a list", id="no-manifests"
        ),
        pytest.param(
            IMAGE | {"layers": [LAYER, None]},
            None,
            "'layers[1]' must be a descriptor",
            id="null-layer",
        ),
        pytest.param(
            IMAGE | {"subject": DIGEST}, None, "'subject' must be a descriptor", id="subject"
        ),
        pytest.param(
            IMAGE | {"config": without(CONFIG, "mediaType")},
            None,
            "'config' needs mediaType and digest",
            id="no-media-type",
        ),
        pytest.param(
            IMAGE | {"config": without(CONFIG, "digest")},
            None,
            "'config' needs mediaType and digest",
            id="no-digest",
        ),
        pytest.param(
            IMAGE | {"config": without(CONFIG, "size")},
            None,
            "'config.size' must be a count of bytes",
            id="no-size",
        ),
        *(
            pytest.param(
                IMAGE | {"layers": [LAYER | {"size": size}]},
                None,
                "'layers[0].size' must be a count of bytes",
                id=f"size-{name}",
            )
            for name, size in {
                "negative": -1,
                "huge": 2**63,
                "true": True,
                "fraction": 1.5,
                "text": "3",
            }.items()
        ),
        pytest.param(
            IMAGE | {"layers": [LAYER | {"size": 2**63 - 1}] * 2},
            None,
            "The sizes of 'layers' must be counts of bytes",
            id="sum-of-sizes",
        ),
        pytest.param(
            IMAGE | {"config": CONFIG | {"digest": "sha256:ab"}},
            None,
            "'config.digest' is not a digest",
            id="bad-digest",
        ),
        pytest.param(
            IMAGE | {"config": CONFIG | {"mediaType": "x" * 100_000}},
            None,
            "'config.mediaType' must be a text of at most",
            id="long-media-type",
        ),
        pytest.param(
            IMAGE | {"config": CONFIG | {"mediaType": "a\0b"}},
            None,
            "'config.mediaType' must be a text of at most",
            id="nul-in-media-type",
        ),
        pytest.param(IMAGE | {"artifactType": 5}, None, "'artifactType' must be", id="artifact"),
        pytest.param(
            IMAGE | {"annotations": {"a": 5}}, None, "'annotations' must be a map", id="annotation"
        ),
        pytest.param(
            IMAGE | {"annotations": ["a"]}, None, "'annotations' must be a map", id="annotations"
        ),
    ],
)
def test_document_that_is_not_one_manifest_is_refused(
    document: Any, declared: str | None, complaint: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse(document, declared)

    assert caught.value.member == "ImageManifest"
    assert complaint in caught.value.constraint


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="another-encoding"),
        pytest.param(json.dumps(IMAGE).encode() + b"{}", id="two"),
        pytest.param(b'{"schemaVersion": 2, "schemaVersion": 2}', id="equal-keys"),
        pytest.param(b'{"config": {"size": 1, "size": 2}}', id="equal-keys-inside"),
        pytest.param(b'{"size": NaN}', id="not-a-number"),
        pytest.param(b'{"size": -Infinity}', id="infinity"),
        pytest.param(b'{"a": "\\ud800"}', id="half-a-character"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"size": ' + b"9" * 10_000 + b"}", id="long-number"),
    ],
)
def test_bytes_that_are_no_json_object_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_manifest(content)

    assert caught.value.constraint == "Invalid JSON syntax"


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        pytest.param(MAX_MANIFEST_SIZE, True, id="largest"),
        pytest.param(MAX_MANIFEST_SIZE + 1, False, id="larger"),
    ],
)
def test_manifest_has_at_most_4_mib(size: int, *, fits: bool) -> None:
    content = json.dumps(IMAGE).encode().ljust(size)

    complaints = _complaints(content)

    assert complaints == ([] if fits else ["Member must have length less than or equal to 4194304"])


def _complaints(content: bytes) -> list[str]:
    try:
        parse_manifest(content)
    except InvalidParameter as error:
        return [error.constraint]
    return []


def test_text_beyond_ascii_is_kept() -> None:
    manifest = parse_manifest(
        json.dumps(IMAGE | {"annotations": {"note": "\N{SNOWMAN}\N{GRINNING FACE}"}}).encode()
    )

    assert manifest.annotations == {"note": "\N{SNOWMAN}\N{GRINNING FACE}"}


members = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject"]
)
inside = st.sampled_from(["mediaType", "digest", "size", "urls"])


@given(document=st.dictionaries(members, ANYTHING) | ANYTHING)
def test_any_json_is_a_manifest_or_refused(document: Any) -> None:
    content = json.dumps(document).encode()

    assert len(_complaints(content)) <= 1


@given(place=st.sampled_from(["config", "layers", "subject"]), name=inside, value=ANYTHING)
def test_any_descriptor_is_read_or_refused(place: str, name: str, value: Any) -> None:
    descriptor = CONFIG | {name: value}
    document = IMAGE | {place: [descriptor] if place == "layers" else descriptor}

    assert len(_complaints(json.dumps(document).encode())) <= 1


@given(content=st.binary(max_size=60))
def test_any_bytes_are_refused(content: bytes) -> None:
    assert len(_complaints(content)) == 1


@pytest.mark.parametrize(
    ("storage", "status"),
    [
        pytest.param(Storage(), "ACTIVE", id="new"),
        pytest.param(Storage("ARCHIVED", archived_at=1.0), "ARCHIVED", id="archived"),
        pytest.param(Storage("ACTIVATING", activated_at=10.5), "ACTIVATING", id="activating"),
        pytest.param(Storage("ACTIVATING", activated_at=10.0), "ACTIVE", id="activated"),
    ],
)
def test_restore_ends_when_its_time_comes(storage: Storage, status: str) -> None:
    assert storage.status_at(10.0) == status


@pytest.mark.parametrize(
    ("document", "name"),
    [
        pytest.param(IMAGE | {"Layers": []}, "Layers", id="beside-the-member"),
        pytest.param(without(IMAGE, "layers") | {"LAYERS": []}, "LAYERS", id="instead-of-it"),
        pytest.param(IMAGE | {"Manifests": []}, "Manifests", id="of-the-other-kind"),
        pytest.param(IMAGE | {"layer\u017f": []}, "layer\u017f", id="long-s-that-go-folds"),
        pytest.param(IMAGE | {"config": CONFIG | {"Digest": OTHER}}, "config.Digest", id="inside"),
        pytest.param(INDEX | {"manifests": [CONFIG, LAYER | {"Size": 1}]}, "Size", id="in-a-list"),
        pytest.param(IMAGE | {"subject": CONFIG | {"mediatype": "x"}}, "mediatype", id="subject"),
    ],
)
def test_a_member_that_go_would_read_as_another_is_refused(document: Any, name: str) -> None:
    with pytest.raises(InvalidParameter, match=f"{name}' must be spelled"):
        parse(document)


def test_annotations_may_differ_in_case_only() -> None:
    annotations = {"Layers": "a", "layers": "b"}

    assert parse(IMAGE | {"annotations": annotations}).annotations == annotations
