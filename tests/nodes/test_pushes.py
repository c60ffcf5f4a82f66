"""Pushes whose every request comes to another node, on PostgreSQL and S3."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support import pushing
from tests.support.balancer import Balancer
from tests.support.cluster import Cluster
from tests.support.images import Blob, MadeImage, digest_of, make_image
from tests.support.registry import (
    MIB,
    finish_upload,
    pull_blob,
    push_blob,
    push_image,
    some_bytes,
    start_upload,
)
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

pytestmark = [pytest.mark.postgres, pytest.mark.s3]

LARGE = some_bytes(20 * MIB + 11, "on all nodes")
PIECE = 7 * MIB


@pytest.fixture
def http(rotating: tuple[Server, Balancer]) -> Iterator[httpx.Client]:
    """A client each of whose requests comes to the next node."""
    with rotating[0].http() as client:
        client.follow_redirects = True
        yield client


def pieces_of(content: bytes, size: int = PIECE) -> list[bytes]:
    return [content[first : first + size] for first in range(0, len(content), size)]


def pull_everywhere(
    cluster: Cluster, clients: Sequence[ECRClient], repository: str, image: MadeImage, tag: str
) -> None:
    """Pull an image from each node through both doors; it must be the one that was pushed."""
    for node, ecr in zip(cluster.nodes, clients, strict=True):
        with node.http() as client:
            client.follow_redirects = True
            assert client.get(f"/v2/{repository}/manifests/{tag}").text == image.manifest
            for blob in image.blobs:
                assert pull_blob(client, repository, blob.digest) == blob.content
        got = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])
        assert [one["imageManifest"] for one in got["images"]] == [image.manifest]
        answer = ecr.get_download_url_for_layer(
            repositoryName=repository, layerDigest=image.config.digest
        )
        assert httpx.get(answer["downloadUrl"]).content == image.config.content


def nodes_of(balancer: Balancer) -> list[int]:
    return [node for _, node in balancer.taken]


def test_each_request_of_a_client_comes_to_the_next_node(
    rotating: tuple[Server, Balancer], http: httpx.Client
) -> None:
    for _ in range(6):
        assert http.get("/v2/").status_code == 200

    nodes = nodes_of(rotating[1])
    assert {(later - earlier) % 3 for earlier, later in itertools.pairwise(nodes)} == {1}
    assert len(nodes) == 6


@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_upload_whose_every_patch_comes_to_another_node_is_whole(
    cluster: Cluster,
    rotating: tuple[Server, Balancer],
    http: httpx.Client,
    repository: str,
    is_chunked: bool,  # noqa: FBT001
) -> None:
    location, first = start_upload(http, repository), 0
    for piece in pieces_of(LARGE):
        span = {"Content-Range": f"{first}-{first + len(piece) - 1}"}
        sent = http.patch(location, content=iter([piece]) if is_chunked else piece, headers=span)
        assert sent.status_code == 202, sent.text
        first += len(piece)
        assert http.get(location).headers["Range"] == f"0-{first - 1}"

    answer = finish_upload(http, location, LARGE)

    assert answer.status_code == 201, answer.text
    assert len(set(nodes_of(rotating[1]))) == 3
    for node in cluster.nodes:
        with node.http() as client:
            client.follow_redirects = True
            assert pull_blob(client, repository, digest_of(LARGE)) == LARGE


@pytest.mark.parametrize("size", [0, 1, MIB, len(LARGE)])
def test_monolithic_upload_is_read_from_any_node(
    cluster: Cluster, http: httpx.Client, repository: str, size: int
) -> None:
    content = LARGE[:size]
    digest = push_blob(http, repository, content)

    for node in cluster.nodes:
        with node.http() as client:
            client.follow_redirects = True
            assert client.head(f"/v2/{repository}/blobs/{digest}").status_code == 200
            assert pull_blob(client, repository, digest) == content


def test_layer_whose_every_part_comes_to_another_node_is_whole(
    cluster: Cluster,
    clients: Sequence[ECRClient],
    rotating: tuple[Server, Balancer],
    repository: str,
) -> None:
    ecr, layer = rotating[0].ecr(), Blob(LARGE)
    upload_id = pushing.start_upload(ecr, repository, *pieces_of(LARGE))

    answer = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[layer.digest]
    )
    # The answer may get lost; another node gives it again.
    again = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[layer.digest]
    )

    assert answer["layerDigest"] == again["layerDigest"] == layer.digest
    assert len(set(nodes_of(rotating[1]))) == 3
    image = MadeImage(make_image(1).config, (layer,))
    pushing.push_layer(ecr, repository, image.config.content)
    ecr.put_image(repositoryName=repository, imageManifest=image.manifest, imageTag="v1")
    pull_everywhere(cluster, clients, repository, image, "v1")


def test_part_sent_again_to_another_node_counts_once(
    clients: Sequence[ECRClient], repository: str
) -> None:
    upload_id = clients[0].initiate_layer_upload(repositoryName=repository)["uploadId"]
    for ecr in clients:
        answer = ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=0,
            partLastByte=PIECE - 1,
            layerPartBlob=LARGE[:PIECE],
        )
        assert answer["lastByteReceived"] == PIECE - 1

    done = clients[1].complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[digest_of(LARGE[:PIECE])]
    )

    assert done["layerDigest"] == digest_of(LARGE[:PIECE])


def test_upload_id_of_another_repository_is_refused_by_every_node(
    clients: Sequence[ECRClient], make_name: Callable[[], str]
) -> None:
    one, other = make_name(), make_name()
    upload_id = clients[0].initiate_layer_upload(repositoryName=one)["uploadId"]

    for ecr in clients:
        with pytest.raises(ClientError, match="UploadNotFoundException"):
            ecr.upload_layer_part(
                repositoryName=other,
                uploadId=upload_id,
                partFirstByte=0,
                partLastByte=0,
                layerPartBlob=b"x",
            )


def test_one_upload_completed_at_all_nodes_at_once_is_one_layer(
    cluster: Cluster, http: httpx.Client, repository: str
) -> None:
    location = start_upload(http, repository)
    assert http.patch(location, content=LARGE).status_code == 202

    def complete(node: Server) -> int:
        with node.http() as client:
            return finish_upload(client, location, LARGE).status_code

    with ThreadPoolExecutor(3) as threads:
        statuses = set(threads.map(complete, cluster.nodes))

    # Who comes while another one completes may be told to come back.
    assert statuses <= {201, 429}
    assert 201 in statuses
    assert pull_blob(http, repository, digest_of(LARGE)) == LARGE


def test_same_layer_pushed_at_all_nodes_at_once_is_stored_once(
    cluster: Cluster, make_name: Callable[[], str]
) -> None:
    names, content = [make_name() for _ in range(6)], some_bytes(MIB, "at once")

    def push(number: int) -> str:
        with cluster.nodes[number % 3].http() as client:
            return push_blob(client, names[number], content)

    with ThreadPoolExecutor(6) as threads:
        digests = set(threads.map(push, range(6)))

    (digest,) = digests
    assert cluster.rows("SELECT count(*) FROM blobs WHERE digest = %s", digest) == [(1,)]
    for node in cluster.nodes:
        with node.http() as client:
            client.follow_redirects = True
            assert all(pull_blob(client, name, digest) == content for name in names)


@pytest.mark.parametrize("size", [MIB, len(LARGE)], ids=["small", "large"])
def test_image_pushed_through_either_door_by_balanced_connections_is_pulled_everywhere(
    cluster: Cluster,
    clients: Sequence[ECRClient],
    balanced: Server,
    make_name: Callable[[], str],
    size: int,
) -> None:
    image, (one, other) = make_image(size, 100, 3), (make_name(), make_name())
    with balanced.http() as client:
        push_image(client, one, image, "v1")
    pushing.push_image(balanced.ecr(), other, image, "v1")

    pull_everywhere(cluster, clients, one, image, "v1")
    pull_everywhere(cluster, clients, other, image, "v1")
