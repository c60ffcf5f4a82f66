"""A full disk: a clear refusal, nothing acknowledged lost, reads as ever, writes with new room.

The data directory is a small tmpfs, filled up with a file of the test's own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.caches import Cache
from tests.support.clients import miss
from tests.support.disks import Ballast
from tests.support.images import OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.server import Server, running_server
from tests.support.upstream import running_upstream, settings_for

MIB = 1024 * 1024
SIZE = 32 * MIB
TEXT = "There is no space left on the server's disk."
CONTENT = os.urandom(8 * MIB)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ballast]:
    if os.geteuid() != 0:
        miss("mounting a small disk needs root")
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "ecrate-test", str(tmp_path)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        miss(f"a small disk cannot be mounted: {mounted.stderr}")
    yield Ballast(tmp_path)
    subprocess.run(["umount", str(tmp_path)], check=True)


@dataclass(frozen=True)
class Shop:
    """A server on a small disk, with a repository `shop` that has images `v0` to `v4`."""

    server: Server
    disk: Ballast
    http: httpx.Client
    images: tuple[MadeImage, ...]

    def begin(self) -> str:
        return self.http.post("/v2/shop/blobs/uploads/").headers["Location"]

    def append(self, location: str, content: bytes) -> httpx.Response:
        return self.http.patch(location, content=content)

    def received(self, location: str) -> str:
        return self.http.get(location).headers["Range"]

    def push(self, image: MadeImage, tag: str) -> int:
        """Push an image and give the status of the last answer."""
        for blob in image.blobs:
            self.http.put(self.begin(), params={"digest": blob.digest}, content=blob.content)
        headers = {"Content-Type": OCI_MANIFEST}
        path = f"/v2/shop/manifests/{tag}"
        return self.http.put(path, content=image.manifest, headers=headers).status_code

    def pull(self, image: MadeImage, tag: str) -> bool:
        """Tell whether all of an image comes as it was pushed."""
        manifest = self.http.get(f"/v2/shop/manifests/{tag}").text
        blobs = [self.http.get(f"/v2/shop/blobs/{blob.digest}").content for blob in image.blobs]
        return (manifest, blobs) == (image.manifest, [blob.content for blob in image.blobs])


@pytest.fixture
def shop(disk: Ballast) -> Iterator[Shop]:
    images = tuple(make_image(MIB // 2) for _ in range(5))
    with running_server(disk.root / "data") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="shop")
        made = Shop(server, disk, http, images)
        for number, image in enumerate(images):
            assert made.push(image, f"v{number}") == 201
        yield made


def streamed(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        pytest.param(lambda: CONTENT, {"close"}, id="with-a-length"),
        pytest.param(lambda: streamed(CONTENT), {"close"}, id="streamed"),
        # Whether all of it was read before it did not fit is a matter of chance.
        pytest.param(lambda: CONTENT[: MIB + 1], {"close", None}, id="a-little-too-much"),
    ],
)
def test_patch_beyond_the_disk_is_refused(
    shop: Shop, body: Callable[[], bytes | Iterator[bytes]], ends: set[str | None]
) -> None:
    location = shop.begin()
    shop.disk.fill(but=MIB)

    refused = shop.http.patch(location, content=body())

    assert refused.status_code == 507
    assert json.loads(refused.text) == {"errors": [{"code": "UNKNOWN", "message": TEXT}]}
    assert refused.headers.get("Connection") in ends


def test_upload_layer_part_beyond_the_disk_is_refused(shop: Shop) -> None:
    ecr = shop.server.ecr()
    upload_id = ecr.initiate_layer_upload(repositoryName="shop")["uploadId"]
    shop.disk.fill(but=MIB)

    with pytest.raises(ecr.exceptions.ServerException) as refused:
        ecr.upload_layer_part(
            repositoryName="shop",
            uploadId=upload_id,
            partFirstByte=0,
            partLastByte=len(CONTENT) - 1,
            layerPartBlob=CONTENT,
        )

    assert refused.value.response["Error"]["Message"] == TEXT
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        pytest.param("create_repository", {"repositoryName": "other"}, id="create-repository"),
        pytest.param(
            "initiate_layer_upload", {"repositoryName": "shop"}, id="initiate-layer-upload"
        ),
        pytest.param("put_image", {"repositoryName": "shop", "imageTag": "new"}, id="put-image"),
    ],
)
def test_rows_beyond_the_disk_are_refused(
    shop: Shop, operation: str, parameters: dict[str, str]
) -> None:
    manifest = {"imageManifest": shop.images[0].manifest} if operation == "put_image" else {}
    shop.disk.fill(but=0)

    with pytest.raises(ClientError) as refused:
        getattr(shop.server.ecr(), operation)(**parameters, **manifest)

    assert refused.value.response["Error"]["Code"] == "ServerException"
    assert refused.value.response["Error"]["Message"] == TEXT


def test_refused_bytes_give_their_room_back(shop: Shop) -> None:
    location = shop.begin()
    shop.append(location, CONTENT[:MIB])
    shop.disk.fill(but=4 * MIB)
    before = shop.disk.free

    refused = shop.append(location, CONTENT)

    assert refused.status_code == 507
    assert shop.disk.free == before


def test_pulls_go_on_with_a_full_disk(shop: Shop) -> None:
    shop.disk.fill(but=0)

    pulled = [shop.pull(image, f"v{number}") for number, image in enumerate(shop.images)]

    assert pulled == [True] * len(shop.images)


def test_api_reads_go_on_with_a_full_disk(shop: Shop) -> None:
    ecr = shop.server.ecr()
    digests = [image.layers[0].digest for image in shop.images]
    shop.disk.fill(but=0)

    listed = ecr.list_images(repositoryName="shop")["imageIds"]
    layers = ecr.batch_check_layer_availability(repositoryName="shop", layerDigests=digests)[
        "layers"
    ]
    images = ecr.batch_get_image(
        repositoryName="shop", imageIds=[{"imageDigest": image.digest} for image in shop.images]
    )["images"]
    url = ecr.get_download_url_for_layer(repositoryName="shop", layerDigest=digests[0])[
        "downloadUrl"
    ]

    assert len(listed) == len(images) == len(shop.images)
    assert {layer["layerAvailability"] for layer in layers} == {"AVAILABLE"}
    assert digest_of(httpx.get(url).content) == digests[0]
    assert len(ecr.get_authorization_token()["authorizationData"]) == 1


def test_upload_goes_on_once_there_is_room(shop: Shop) -> None:
    location = shop.begin()
    shop.append(location, CONTENT[:MIB])
    shop.disk.fill(but=MIB)
    shop.append(location, CONTENT[MIB:])
    kept = shop.received(location)
    shop.disk.clear()

    shop.append(location, CONTENT[MIB:])

    done = shop.http.put(location, params={"digest": digest_of(CONTENT)})
    assert kept == f"0-{MIB - 1}"
    assert done.status_code == 201
    assert shop.http.get(f"/v2/shop/blobs/{digest_of(CONTENT)}").content == CONTENT


def test_push_works_again_once_there_is_room(shop: Shop) -> None:
    new = make_image(4 * MIB)
    shop.disk.fill(but=MIB)
    without_layers = shop.push(new, "new")
    shop.disk.fill(but=0)
    refused = shop.http.post("/v2/shop/blobs/uploads/")
    shop.disk.clear()

    done = shop.push(new, "new")

    assert (without_layers, refused.status_code, done) == (404, 507, 201)
    assert shop.pull(new, "new")


def test_restart_after_a_full_disk_finds_everything(shop: Shop) -> None:
    new = make_image(4 * MIB)
    shop.disk.fill(but=MIB)
    shop.push(new, "new")
    shop.disk.fill(but=0)
    shop.http.post("/v2/shop/blobs/uploads/")
    shop.server.kill()

    with running_server(shop.server.data) as server, server.http() as http:
        again = Shop(server, shop.disk, http, shop.images)
        pulled = [again.pull(image, f"v{number}") for number, image in enumerate(shop.images)]
        status = http.get("/v2/shop/manifests/new").status_code

    assert pulled == [True] * len(shop.images)
    assert status == 404


def test_layer_from_upstream_leaves_nothing_on_a_full_disk(disk: Ballast) -> None:
    with running_upstream() as upstream, ExitStack() as opened:
        image = upstream.add("app", make_image(8 * MIB), "v1")
        (layer,) = image.layers
        env = settings_for(upstream.url, imports_all="false")
        server = opened.enter_context(running_server(disk.root / "data", env=env))
        cache = Cache(server, upstream, opened.enter_context(server.http()))
        server.ecr().create_pull_through_cache_rule(
            ecrRepositoryPrefix="up", upstreamRegistryUrl=upstream.url
        )
        cache.manifest("app", "v1")
        disk.fill(but=4 * MIB)

        refused = cache.received("app", layer.digest, 507)
        manifest = cache.manifest("app", "v1")
        left = [*(disk.root / "data" / "fetches").iterdir()]
        disk.clear()
        pulled = cache.blob("app", layer.digest)

    assert refused < 8 * MIB
    assert manifest.text == image.manifest
    assert left == []
    assert pulled.content == layer.content
