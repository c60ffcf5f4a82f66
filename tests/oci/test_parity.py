"""What `parity = "ecr"` narrows, at both doors, beside what ecrate does otherwise.

What it is about stands in docs/reference/deviations.md.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.registry import (
    finish_upload,
    index_of,
    push_blob,
    push_image,
    put_manifest,
    start_upload,
)
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

CONTENT = b"a layer that no image needs"
SHA512 = "sha512:" + hashlib.sha512(CONTENT).hexdigest()
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A server, and a new repository there."""

    server: Server
    http: httpx.Client
    repository: str

    @property
    def ecr(self) -> ECRClient:
        return self.server.ecr()

    def path(self, rest: str) -> str:
        return f"/v2/{self.repository}/{rest}"


@pytest.fixture(params=["usual", "parity"])
def narrowed(request: pytest.FixtureRequest) -> bool:
    """Whether the server narrows."""
    return bool(request.param == "parity")


@pytest.fixture
def place(narrowed: bool, server: Server, parity_server: Server) -> Iterator[Place]:  # noqa: FBT001 - a fixture
    chosen = parity_server if narrowed else server
    name = f"parity/place-{next(_NUMBERS)}"
    chosen.ecr().create_repository(repositoryName=name)
    with chosen.http() as http:
        yield Place(chosen, http, name)


def told(answer: httpx.Response) -> str:
    """Give the status of an answer, with the code of an error."""
    code = answer.json()["errors"][0]["code"] if answer.status_code >= 400 else ""
    return f"{answer.status_code} {code}".strip()


def code_of(call: Callable[[], object]) -> str:
    """Give the code of a call's error, or OK."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"].removesuffix("Exception")
    return "OK"


def layer_without_an_image(place: Place) -> str:
    digest = push_blob(place.http, place.repository, CONTENT)
    return told(place.http.get(place.path(f"blobs/{digest}")))


def url_of_a_layer_without_an_image(place: Place) -> str:
    digest = push_blob(place.http, place.repository, CONTENT)
    return code_of(
        lambda: place.ecr.get_download_url_for_layer(
            repositoryName=place.repository, layerDigest=digest
        )
    )


def availability_of_a_layer_without_an_image(place: Place) -> str:
    digest = push_blob(place.http, place.repository, CONTENT)
    head = place.http.head(place.path(f"blobs/{digest}"))
    answer = place.ecr.batch_check_layer_availability(
        repositoryName=place.repository, layerDigests=[digest]
    )
    return f"{head.status_code} {answer['layers'][0]['layerAvailability']}"


def layer_of_an_image(place: Place) -> str:
    image = make_image()
    push_image(place.http, place.repository, image)
    digest = image.layers[0].digest
    url = code_of(
        lambda: place.ecr.get_download_url_for_layer(
            repositoryName=place.repository, layerDigest=digest
        )
    )
    return f"{told(place.http.get(place.path(f'blobs/{digest}')))} {url}"


def sha512_layer(place: Place) -> str:
    location = start_upload(place.http, place.repository)
    return told(place.http.put(location, params={"digest": SHA512}, content=CONTENT))


def sha512_upload(place: Place) -> str:
    query = {"digest-algorithm": "sha512"}
    return told(place.http.post(place.path("blobs/uploads/"), params=query))


def sha512_in_complete_layer_upload(place: Place) -> str:
    """AWS: a digest of another algorithm is not looked at; the answer has the sha256."""
    ecr, name = place.ecr, place.repository
    upload_id = ecr.initiate_layer_upload(repositoryName=name)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=name,
        uploadId=upload_id,
        partFirstByte=0,
        partLastByte=len(CONTENT) - 1,
        layerPartBlob=CONTENT,
    )
    stored = ecr.complete_layer_upload(
        repositoryName=name, uploadId=upload_id, layerDigests=[SHA512]
    )
    return stored["layerDigest"].partition(":")[0]


def _document(place: Place) -> tuple[MadeImage, str]:
    image = make_image()
    push_image(place.http, place.repository, image)
    document = image.manifest + "\n"
    return image, "sha512:" + hashlib.sha512(document.encode()).hexdigest()


def sha512_manifest(place: Place) -> str:
    image, digest = _document(place)
    return told(put_manifest(place.http, place.repository, digest, image.manifest + "\n"))


def sha512_in_put_image(place: Place) -> str:
    image, digest = _document(place)
    return code_of(
        lambda: place.ecr.put_image(
            repositoryName=place.repository,
            imageManifest=image.manifest + "\n",
            imageDigest=digest,
        )
    )


def post_with_a_digest(place: Place) -> str:
    digest = digest_of(CONTENT)
    query = {"digest": digest}
    posted = place.http.post(place.path("blobs/uploads/"), params=query, content=CONTENT)
    return f"{told(posted)}, then {place.http.head(place.path(f'blobs/{digest}')).status_code}"


def empty_layer(place: Place) -> str:
    location = start_upload(place.http, place.repository)
    return told(finish_upload(place.http, location, b""))


def deletion_of_a_layer(place: Place) -> str:
    digest = push_blob(place.http, place.repository, CONTENT)
    return told(place.http.delete(place.path(f"blobs/{digest}")))


def deletion_of_a_last_tag(place: Place) -> str:
    digest = push_image(place.http, place.repository, make_image(), "only")
    deleted = place.http.delete(place.path("manifests/only"))
    left = place.http.head(place.path(f"manifests/{digest}"))
    return f"{told(deleted)}, then {left.status_code}"


def _push_child(place: Place) -> None:
    image = make_image()
    push_image(place.http, place.repository, image, "child")
    index = index_of(OCI_INDEX, OCI_MANIFEST, image.manifest)
    assert put_manifest(place.http, place.repository, "index", index, OCI_INDEX).is_success


def deletion_of_a_childs_last_tag(place: Place) -> str:
    _push_child(place)
    return told(place.http.delete(place.path("manifests/child")))


def batch_deletion_of_a_childs_last_tag(place: Place) -> str:
    _push_child(place)
    answer = place.ecr.batch_delete_image(
        repositoryName=place.repository, imageIds=[{"imageTag": "child"}]
    )
    return answer["failures"][0]["failureCode"]


def long_page(place: Place) -> str:
    tags = place.http.get(place.path("tags/list"), params={"n": "1001"})
    catalog = place.http.get("/v2/_catalog", params={"n": "1001"})
    return f"{told(tags)}, {told(catalog)}"


def first_blob_mounting(place: Place) -> str:
    region = f"parity-{next(_NUMBERS)}"
    return place.server.ecr(region=region).get_account_setting(name="BLOB_MOUNTING")["value"]


def mount(place: Place) -> str:
    other = f"{place.repository}/source"
    place.ecr.create_repository(repositoryName=other)
    digest = push_blob(place.http, other, CONTENT)
    query = {"mount": digest, "from": other}
    return told(place.http.post(place.path("blobs/uploads/"), params=query))


def tags_in_a_query(place: Place) -> str:
    image = make_image()
    push_image(place.http, place.repository, image)
    put = place.http.put(
        place.path(f"manifests/{image.digest}"),
        params={"tag": "one"},
        content=image.manifest,
    )
    return f"{told(put)}, then {place.http.head(place.path('manifests/one')).status_code}"


@pytest.mark.parametrize(
    ("deed", "usual", "narrow"),
    [
        (layer_without_an_image, "200", "404 BLOB_UNKNOWN"),
        (url_of_a_layer_without_an_image, "OK", "LayerInaccessible"),
        (availability_of_a_layer_without_an_image, "200 AVAILABLE", "200 AVAILABLE"),
        (layer_of_an_image, "200 OK", "200 OK"),
        (sha512_layer, "201", "400 DIGEST_INVALID"),
        (sha512_upload, "202", "400 DIGEST_INVALID"),
        (sha512_in_complete_layer_upload, "sha512", "sha256"),
        (sha512_manifest, "201", "400 DIGEST_INVALID"),
        (sha512_in_put_image, "OK", "InvalidParameter"),
        (post_with_a_digest, "201, then 200", "202, then 404"),
        (empty_layer, "201", "400 BLOB_UPLOAD_INVALID"),
        (deletion_of_a_layer, "202", "405 UNSUPPORTED"),
        (deletion_of_a_last_tag, "202, then 200", "202, then 404"),
        (deletion_of_a_childs_last_tag, "202", "405 UNSUPPORTED"),
        (
            batch_deletion_of_a_childs_last_tag,
            "ImageReferencedByManifestList",
            "ImageReferencedByManifestList",
        ),
        (long_page, "200, 200", "405 UNSUPPORTED, 405 UNSUPPORTED"),
        (first_blob_mounting, "ENABLED", "DISABLED"),
        (mount, "201", "202"),
        (tags_in_a_query, "201, then 200", "201, then 404"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_parity_narrows(
    place: Place,
    narrowed: bool,  # noqa: FBT001 - a fixture
    deed: Callable[[Place], str],
    usual: str,
    narrow: str,
) -> None:
    assert deed(place) == (narrow if narrowed else usual)
