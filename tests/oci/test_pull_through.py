"""Images that come from upstream on their first pull."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.caches import Cache
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, make_image
from tests.support.policies import allow, policy
from tests.support.principals import make_user
from tests.support.registry import (
    DOCKER_LIST,
    error_of,
    index_of,
    manifest_of,
    pull_blob,
    wait_until,
)
from tests.support.server import ACCOUNT, running_server
from tests.support.upstream import Gate, breaking_off, refusing, settings_for

MIB = 1024 * 1024
IMPORT = "ecr:BatchImportUpstreamImage"


@pytest.mark.parametrize("by", ["v1", "digest"])
def test_first_pull_brings_the_image(cache: Cache, name: str, image: MadeImage, by: str) -> None:
    answer = cache.manifest(name, image.digest if by == "digest" else by)

    assert answer.status_code == 200
    assert answer.text == image.manifest
    assert answer.headers["Docker-Content-Digest"] == image.digest
    for blob in image.blobs:
        assert pull_blob(cache.http, f"up/{name}", blob.digest) == blob.content


def test_layer_is_fetched_once(cache: Cache, name: str, image: MadeImage) -> None:
    cache.manifest(name, "v1")
    digest = image.layers[0].digest

    for _ in range(3):
        pull_blob(cache.http, f"up/{name}", digest)

    assert cache.upstream.count(f"/v2/{name}/blobs/{digest}") == 1


def test_head_of_a_layer_tells_its_size(cache: Cache, name: str, image: MadeImage) -> None:
    cache.manifest(name, "v1")

    answers = [cache.http.head(f"/v2/up/{name}/blobs/{image.layers[0].digest}") for _ in range(2)]

    assert [(one.status_code, one.headers["Content-Length"]) for one in answers] == [
        (200, "3000"),
        (200, "3000"),
    ]


@pytest.mark.usefixtures("image")
def test_layer_that_no_image_needs_is_not_fetched(cache: Cache, name: str) -> None:
    cache.manifest(name, "v1")
    stray = make_image().layers[0]
    cache.upstream.blobs[name, stray.digest] = stray.content

    answer = cache.blob(name, stray.digest)

    assert error_of(answer)[:2] == (404, "BLOB_UNKNOWN")
    assert cache.upstream.count(f"/v2/{name}/blobs/{stray.digest}") == 0


def test_index_comes_with_its_members(cache: Cache, name: str) -> None:
    members = [cache.upstream.add(name, make_image(500)) for _ in range(2)]
    index = index_of(OCI_INDEX, OCI_MANIFEST, *(one.manifest for one in members))
    cache.upstream.put_index(name, index, "all")

    assert cache.manifest(name, "all").text == index

    for one in members:
        assert cache.manifest(name, one.digest).text == one.manifest
        assert pull_blob(cache.http, f"up/{name}", one.layers[0].digest)


def test_what_upstream_does_not_have_makes_no_repository(cache: Cache, name: str) -> None:
    answer = cache.manifest(name, "v1")

    assert error_of(answer) == (
        404,
        "NAME_UNKNOWN",
        f"The repository with name 'up/{name}' does not exist in the registry with id '{ACCOUNT}'",
    )


@pytest.mark.usefixtures("image")
def test_tag_that_upstream_does_not_have_is_unknown(cache: Cache, name: str) -> None:
    cache.manifest(name, "v1")

    assert error_of(cache.manifest(name, "v2")) == (
        404,
        "MANIFEST_UNKNOWN",
        "Requested image not found",
    )


def test_tag_follows_upstream(cache: Cache, name: str, image: MadeImage) -> None:
    cache.manifest(name, "v1")
    newer = cache.upstream.add(name, make_image(10), "v1")

    assert cache.manifest(name, "v1").text == newer.manifest
    assert cache.manifest(name, image.digest).text == image.manifest


def test_tag_pushed_here_is_left_alone(cache: Cache, name: str, image: MadeImage) -> None:
    cache.manifest(name, "v1")
    document = manifest_of(image, OCI_MANIFEST, annotations={"made": "here"})
    for blob in image.blobs:
        pull_blob(cache.http, f"up/{name}", blob.digest)
    put = cache.http.put(
        f"/v2/up/{name}/manifests/v1", content=document, headers={"Content-Type": OCI_MANIFEST}
    )

    assert put.status_code == 201
    assert cache.manifest(name, "v1").text == document


def test_referrers_of_upstream_are_listed_and_pulled(
    cache: Cache, name: str, image: MadeImage
) -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    artifact = manifest_of(make_image(10), OCI_MANIFEST, artifactType="a/sbom", subject=subject)
    digest = cache.upstream.put(name, artifact)
    cache.upstream.referrers[name, image.digest] = [artifact]
    cache.manifest(name, "v1")

    answer = cache.http.get(f"/v2/up/{name}/referrers/{image.digest}")

    assert [one["digest"] for one in answer.json()["manifests"]] == [digest]
    assert cache.manifest(name, digest).text == artifact


def test_referrers_by_tag_are_listed(cache: Cache, name: str, image: MadeImage) -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
    artifact = manifest_of(make_image(10), OCI_MANIFEST, artifactType="a/sbom", subject=subject)
    digest = cache.upstream.put(name, artifact)
    index = index_of(OCI_INDEX, OCI_MANIFEST, artifact)
    cache.upstream.put_index(name, index, image.digest.replace(":", "-"))
    cache.manifest(name, "v1")

    answer = cache.http.get(f"/v2/up/{name}/referrers/{image.digest}")

    assert [one["digest"] for one in answer.json()["manifests"]] == [digest]


def test_referrers_cannot_be_listed_while_upstream_fails(
    cache: Cache, name: str, image: MadeImage
) -> None:
    cache.manifest(name, "v1")
    cache.upstream.faults[f"/v2/{name}/referrers/{image.digest}"] = refusing(500)

    answer = cache.http.get(f"/v2/up/{name}/referrers/{image.digest}")

    assert error_of(answer)[:2] == (502, "UNKNOWN")


def test_client_that_means_upstream_need_not_rename(
    cache: Cache, name: str, image: MadeImage
) -> None:
    mirrored = {"ns": cache.upstream.host}

    manifest = cache.http.get(f"/v2/{name}/manifests/v1", params=mirrored)
    layer = cache.http.get(f"/v2/{name}/blobs/{image.layers[0].digest}", params=mirrored)
    tags = cache.http.get(f"/v2/{name}/tags/list", params=mirrored)

    assert manifest.text == image.manifest
    assert manifest.headers["OCI-Namespace"] == cache.upstream.host
    assert layer.content == image.layers[0].content
    assert layer.headers["OCI-Namespace"] == cache.upstream.host
    assert tags.json()["tags"] == ["v1"]


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("namespace", ["elsewhere.example", "two\r\nlines", "x" * 300])
def test_client_that_means_another_registry_finds_nothing(
    cache: Cache, name: str, namespace: str
) -> None:
    cache.manifest(name, "v1")

    answer = cache.http.get(f"/v2/up/{name}/manifests/v1", params={"ns": namespace})

    assert error_of(answer)[:2] == (404, "NAME_UNKNOWN")


def test_client_that_means_this_registry_finds_it(
    cache: Cache, name: str, image: MadeImage
) -> None:
    answer = cache.http.get(f"/v2/up/{name}/manifests/v1", params={"ns": cache.server.host})

    assert answer.text == image.manifest


def test_manifest_missed_by_many_is_fetched_once(cache: Cache, name: str, image: MadeImage) -> None:
    path = f"/v2/{name}/manifests/{image.digest}"

    with ThreadPoolExecutor(12) as pool, ExitStack() as opened:
        clients = [opened.enter_context(cache.server.http()) for _ in range(12)]
        answers = [*pool.map(lambda http: http.get(f"/v2/up{path[3:]}"), clients)]

    assert {answer.text for answer in answers} == {image.manifest}
    assert cache.upstream.count(path) == 1


def test_layer_streams_to_all_while_it_comes_once(cache: Cache, name: str) -> None:
    image = cache.upstream.add(name, make_image(2 * MIB), "v1")
    (layer,) = image.layers
    gate = cache.upstream.faults[f"/v2/{name}/blobs/{layer.digest}"] = Gate(layer.content)
    cache.manifest(name, "v1")
    half = threading.Semaphore(0)

    def pull(http: httpx.Client) -> bytes:
        content = b""
        with http.stream("GET", f"/v2/up/{name}/blobs/{layer.digest}") as answer:
            for piece in answer.iter_raw():
                is_half = len(content) < MIB <= len(content) + len(piece)
                content += piece
                if is_half:
                    half.release()
        return content

    with ThreadPoolExecutor(8) as pool, ExitStack() as opened:
        clients = [opened.enter_context(cache.server.http()) for _ in range(8)]
        pulled = [pool.submit(pull, http) for http in clients]
        # Whatever worker they are at: each has half of it before the rest has come.
        assert all(half.acquire(timeout=30) for _ in clients)
        gate.open()

        assert {one.result() for one in pulled} == {layer.content}
    assert cache.upstream.count(f"/v2/{name}/blobs/{layer.digest}") == 1


def test_client_that_goes_does_not_end_the_fetch(cache: Cache, name: str) -> None:
    image = cache.upstream.add(name, make_image(MIB), "v1")
    (layer,) = image.layers
    gate = cache.upstream.faults[f"/v2/{name}/blobs/{layer.digest}"] = Gate(layer.content)
    cache.manifest(name, "v1")
    with cache.server.http() as http:
        path = f"/v2/up/{name}/blobs/{layer.digest}"
        with http.stream("GET", path) as answer:
            next(answer.iter_raw(1000))

    gate.open()

    wait_until(lambda: cache.has(name, layer.digest))


def test_range_of_a_layer_that_comes_is_sent(cache: Cache, name: str, image: MadeImage) -> None:
    (layer,) = image.layers
    gate = cache.upstream.faults[f"/v2/{name}/blobs/{layer.digest}"] = Gate(layer.content)
    cache.manifest(name, "v1")

    answer = cache.blob(name, layer.digest, Range="bytes=100-199")
    gate.open()

    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == "bytes 100-199/3000"
    assert answer.content == layer.content[100:200]


def test_download_that_breaks_off_goes_on(cache: Cache, name: str) -> None:
    image = cache.upstream.add(name, make_image(MIB), "v1")
    (layer,) = image.layers
    path = f"/v2/{name}/blobs/{layer.digest}"

    def once(handler: Any) -> None:
        del cache.upstream.faults[path]
        breaking_off(layer.content, MIB // 3)(handler)

    cache.upstream.faults[path] = once
    cache.manifest(name, "v1")

    assert pull_blob(cache.http, f"up/{name}", layer.digest) == layer.content
    assert cache.upstream.count(path) == 2


def test_docker_list_comes_as_it_is(cache: Cache, name: str, image: MadeImage) -> None:
    document = index_of(DOCKER_LIST, OCI_MANIFEST, image.manifest)
    cache.upstream.put(name, document, "list", media_type=DOCKER_LIST)

    answer = cache.manifest(name, "list")

    assert answer.headers["Content-Type"] == DOCKER_LIST
    assert json.loads(answer.text) == json.loads(document)


def test_caller_who_may_not_import_finds_no_image(
    cache: Cache, name: str, image: MadeImage
) -> None:
    cache.manifest(name, "v1")
    rights = policy(allow("ecr:BatchGetImage", "ecr:CreateRepository", Resource="*"))
    user = make_user(cache.server, name.replace("/", "-"), rights)
    cache.upstream.add(name, make_image(), "v2")

    with user.http() as http:
        cached = http.get(f"/v2/up/{name}/manifests/v1")
        other = http.get(f"/v2/up/{name}/manifests/v2")
        nowhere = http.get(f"/v2/up/{name}/more/manifests/v2")

    assert cached.text == image.manifest
    assert error_of(other) == (404, "MANIFEST_UNKNOWN", "Requested image not found")
    assert error_of(nowhere)[:2] == (404, "NAME_UNKNOWN")
    assert cache.upstream.count(f"/v2/{name}/manifests/v2") == 0


def test_caller_with_rights_makes_the_repository(cache: Cache, name: str, image: MadeImage) -> None:
    rights = policy(allow("ecr:BatchGetImage", "ecr:CreateRepository", IMPORT, Resource="*"))
    user = make_user(cache.server, name.replace("/", "-"), rights)

    with user.http() as http:
        answer = http.get(f"/v2/up/{name}/manifests/v1")

    assert answer.text == image.manifest


def test_caller_who_may_only_push_learns_what_is_missing(cache: Cache, name: str) -> None:
    cache.server.ecr().create_repository(repositoryName=f"up/{name}")
    rights = policy(allow("ecr:BatchCheckLayerAvailability", Resource="*"))
    user = make_user(cache.server, name.replace("/", "-"), rights)

    with user.http() as http:
        answer = http.head(f"/v2/up/{name}/blobs/sha256:{'0' * 64}")

    assert answer.status_code == 404


def test_nameless_may_pull_through_where_policies_let_everybody(
    cache: Cache, name: str, image: MadeImage, tmp_path: Path
) -> None:
    """As docker does with a mirror of Docker Hub: by its names, without a login."""
    actions = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:CreateRepository", IMPORT)
    everybody = policy(allow(*actions, Principal="*", Resource="*"))
    env = settings_for(cache.upstream.url, imports_all="false")
    with running_server(tmp_path, env={**env, "ECRATE_ANONYMOUS_PULL": "true"}) as server:
        ecr = server.ecr()
        ecr.put_registry_policy(policyText=everybody)
        ecr.create_pull_through_cache_rule(
            ecrRepositoryPrefix="ROOT", upstreamRegistryUrl=cache.upstream.url
        )
        with httpx.Client(base_url=server.endpoint, timeout=30) as http:
            token = http.get("/v2/token").json()["token"]
            http.headers["Authorization"] = f"Bearer {token}"
            manifest = http.get(f"/v2/{name}/manifests/v1")
            layer = pull_blob(http, name, image.layers[0].digest)

    assert manifest.text == image.manifest
    assert layer == image.layers[0].content
