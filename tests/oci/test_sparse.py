"""Sparse manifests: what a manifest names may come later, and counts from then on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, digest_of, make_image
from tests.support.registry import (
    error_of,
    files_of,
    index_of,
    pull_blob,
    push_blob,
    push_blobs,
    push_image,
    put_manifest,
    some_bytes,
    wait_until,
)
from tests.support.server import Server, running_server

SPARSE = {"ECRATE_SPARSE_MANIFESTS": "true"}
# A layer no image needs lapses after a second, and its bytes go at once.
HASTY = {"ECRATE_LAYER_GRACE": "1", "ECRATE_COLLECT_EVERY": "0.1", "ECRATE_QUARANTINE": "0"}


@pytest.fixture(scope="module")
def sparse_server() -> Iterator[Server]:
    """A server that takes manifests before what they name."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env=SPARSE) as running,
    ):
        yield running


@pytest.fixture
def sparse(sparse_server: Server) -> Iterator[httpx.Client]:
    with sparse_server.http() as http:
        yield http


@pytest.fixture
def place(sparse_server: Server, make_name: Callable[[], str]) -> str:
    """A new, empty repository on that server."""
    name = make_name()
    sparse_server.ecr().create_repository(repositoryName=name)
    return name


def put_index(http: httpx.Client, repository: str, tag: str, *images: MadeImage) -> str:
    """Push an index of the images and give its digest."""
    index = index_of(OCI_INDEX, OCI_MANIFEST, *(image.manifest for image in images))
    answer = put_manifest(http, repository, tag, index, OCI_INDEX)
    assert answer.status_code == 201, answer.text
    return digest_of(index.encode())


def statuses(http: httpx.Client, repository: str, *references: str) -> list[int]:
    """Give the status of each manifest."""
    return [http.get(f"/v2/{repository}/manifests/{one}").status_code for one in references]


def delete(http: httpx.Client, repository: str, reference: str) -> tuple[int, str]:
    """Delete a manifest; give the status and, where it is refused, the text."""
    answer = http.delete(f"/v2/{repository}/manifests/{reference}")
    return answer.status_code, "" if answer.status_code == 202 else error_of(answer)[2]


def test_index_comes_before_its_images(sparse: httpx.Client, place: str) -> None:
    first, second = make_image(), make_image()

    index = put_index(sparse, place, "multi", first, second)
    before = statuses(sparse, place, "multi", index, first.digest, second.digest)
    push_image(sparse, place, first)
    push_image(sparse, place, second, "second")

    assert before == [200, 200, 404, 404]
    assert statuses(sparse, place, "multi", first.digest, "second") == [200, 200, 200]


def test_image_that_comes_after_its_index_is_protected_by_it(
    sparse: httpx.Client, place: str
) -> None:
    image = make_image()
    index = put_index(sparse, place, "multi", image)
    push_image(sparse, place, image, "child")

    outcomes = [
        delete(sparse, place, image.digest),
        delete(sparse, place, index),
        delete(sparse, place, image.digest),
    ]

    listed = f"Requested image referenced by manifest list: [{index}]"
    assert outcomes == [(405, listed), (202, ""), (202, "")]


def test_image_is_protected_by_every_index_that_waited_for_it(
    sparse: httpx.Client, place: str
) -> None:
    image, other = make_image(), make_image()
    indexes = [
        put_index(sparse, place, "one", image),
        put_index(sparse, place, "two", image, other),
        put_index(sparse, place, "three", image, image),
    ]
    push_image(sparse, place, image)

    blocked = delete(sparse, place, image.digest)
    gone = [delete(sparse, place, index)[0] for index in indexes]
    last = delete(sparse, place, image.digest)

    listed = f"Requested image referenced by manifest list: [{', '.join(indexes)}]"
    assert blocked == (405, listed)
    assert gone == [202, 202, 202]
    assert last == (202, "")


def test_image_that_comes_after_its_index_is_gone_is_free(sparse: httpx.Client, place: str) -> None:
    image = make_image()
    index = put_index(sparse, place, "multi", image)
    first = delete(sparse, place, index)
    push_image(sparse, place, image)

    outcome = delete(sparse, place, image.digest)

    assert (first, outcome) == ((202, ""), (202, ""))


def test_image_that_comes_back_is_protected_again(sparse: httpx.Client, place: str) -> None:
    image = make_image()
    push_image(sparse, place, image)
    index = put_index(sparse, place, "multi", image)
    freed = delete(sparse, place, index)
    put_index(sparse, place, "multi", image)

    outcome = delete(sparse, place, image.digest)

    assert freed == (202, "")
    assert outcome[0] == 405


def test_nested_index_may_come_first(sparse: httpx.Client, place: str) -> None:
    image = make_image()
    inner = index_of(OCI_INDEX, OCI_MANIFEST, image.manifest)
    outer = index_of(OCI_INDEX, OCI_INDEX, inner)
    reversed_order = [
        put_manifest(sparse, place, "outer", outer, OCI_INDEX),
        put_manifest(sparse, place, digest_of(inner.encode()), inner, OCI_INDEX),
        put_manifest(sparse, place, image.digest, image.manifest),
    ]

    children = (image.digest, digest_of(inner.encode()))
    outcomes = [delete(sparse, place, child)[0] for child in children]

    assert [answer.status_code for answer in reversed_order] == [201, 201, 201]
    assert outcomes == [405, 405]


def test_index_waits_for_images_of_its_own_repository_only(
    sparse_server: Server, sparse: httpx.Client, place: str
) -> None:
    sparse_server.ecr().create_repository(repositoryName=f"{place}-other")
    image = make_image()
    put_index(sparse, place, "multi", image)
    push_image(sparse, f"{place}-other", image)

    outcome = delete(sparse, f"{place}-other", image.digest)

    assert outcome == (202, "")
    assert statuses(sparse, place, image.digest) == [404]


def test_image_comes_before_its_layers(sparse: httpx.Client, place: str) -> None:
    image = make_image(1000, 2000)

    answer = put_manifest(sparse, place, "latest", image.manifest)
    before = sparse.head(f"/v2/{place}/blobs/{image.layers[1].digest}")
    push_blobs(sparse, place, image)

    assert answer.status_code == 201
    assert before.status_code == 404
    assert [pull_blob(sparse, place, blob.digest) for blob in image.blobs] == [
        blob.content for blob in image.blobs
    ]


def test_layer_that_comes_after_its_images_is_needed_by_them(
    sparse: httpx.Client, place: str
) -> None:
    layer = Blob(some_bytes(3000, place))
    images = [MadeImage(make_image().config, (layer, layer)) for _ in range(2)]
    for image in images:
        put_manifest(sparse, place, image.digest, image.manifest)
    push_blob(sparse, place, layer.content)
    path = f"/v2/{place}/blobs/{layer.digest}"

    outcomes = [
        sparse.delete(path).status_code,
        delete(sparse, place, images[0].digest)[0],
        sparse.delete(path).status_code,
        delete(sparse, place, images[1].digest)[0],
        sparse.delete(path).status_code,
    ]

    assert outcomes == [405, 202, 405, 202, 202]


def test_layer_that_is_mounted_after_its_image_is_needed_by_it(
    sparse_server: Server, sparse: httpx.Client, place: str
) -> None:
    sparse_server.ecr().create_repository(repositoryName=f"{place}-source")
    image = make_image()
    put_manifest(sparse, place, "latest", image.manifest)
    layer = push_blob(sparse, f"{place}-source", image.layers[0].content)

    mounted = sparse.post(
        f"/v2/{place}/blobs/uploads/", params={"mount": layer, "from": f"{place}-source"}
    )
    refused = sparse.delete(f"/v2/{place}/blobs/{layer}")

    assert mounted.status_code == 201
    assert refused.status_code == 405


def test_layer_that_comes_after_its_image_is_gone_is_free(sparse: httpx.Client, place: str) -> None:
    image = make_image()
    put_manifest(sparse, place, "latest", image.manifest)
    delete(sparse, place, image.digest)
    layer = push_blob(sparse, place, image.layers[0].content)

    answer = sparse.delete(f"/v2/{place}/blobs/{layer}")

    assert answer.status_code == 202


def test_what_came_later_is_not_collected(tmp_path: Path) -> None:
    image, witness = make_image(1000, 2000), some_bytes(4000)
    settings = {**SPARSE, **HASTY}
    with running_server(tmp_path / "data", env=settings) as server, server.http() as http:
        server.ecr().create_repository(repositoryName="sparse/kept")
        put_index(http, "sparse/kept", "multi", image)
        put_manifest(http, "sparse/kept", image.digest, image.manifest)
        push_blobs(http, "sparse/kept", image)
        push_blob(http, "sparse/kept", witness)  # no image needs this one

        wait_until(lambda: len(files_of(server)) == len(image.blobs))

        pulled = [pull_blob(http, "sparse/kept", blob.digest) for blob in image.blobs]
        assert pulled == [blob.content for blob in image.blobs]
        assert http.head(f"/v2/sparse/kept/blobs/{digest_of(witness)}").status_code == 404
        assert statuses(http, "sparse/kept", "multi", image.digest) == [200, 200]


def test_repository_with_sparse_manifests_can_be_deleted(
    sparse_server: Server, sparse: httpx.Client, place: str
) -> None:
    image, ecr = make_image(), sparse_server.ecr()
    put_index(sparse, place, "multi", image)
    put_manifest(sparse, place, image.digest, image.manifest)
    push_blob(sparse, place, image.config.content)

    ecr.delete_repository(repositoryName=place, force=True)
    ecr.create_repository(repositoryName=place)
    push_image(sparse, place, image)

    assert delete(sparse, place, image.digest) == (202, "")


def test_sparse_image_is_described_by_the_aws_door(
    sparse_server: Server, sparse: httpx.Client, place: str
) -> None:
    image, ecr = make_image(1000), sparse_server.ecr()
    put_index(sparse, place, "multi", image)
    put_manifest(sparse, place, "child", image.manifest)

    details = ecr.describe_images(repositoryName=place)["imageDetails"]

    assert [detail["imageTags"] for detail in details] == [["multi"], ["child"]]
    assert details[1]["imageSizeInBytes"] == sum(len(blob.content) for blob in image.blobs)


def test_sizes_that_add_up_to_too_much_are_refused(sparse: httpx.Client, place: str) -> None:
    document = json.loads(make_image(1, 2).manifest)
    document["layers"][0]["size"] = document["layers"][1]["size"] = 2**63 - 1

    answer = put_manifest(sparse, place, "latest", json.dumps(document))

    assert error_of(answer)[:2] == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(make_image().manifest, id="image"),
        pytest.param(index_of(OCI_INDEX, OCI_MANIFEST, make_image().manifest), id="index"),
    ],
)
def test_without_the_setting_nothing_may_be_missing(
    http: httpx.Client, repository: str, document: str
) -> None:
    answer = put_manifest(http, repository, "latest", document)

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")
    assert statuses(http, repository, "latest") == [404]
