"""Pulls through real registries: docker-registry behind tokens and another ecrate; containerd and
podman that take ecrate for a mirror.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.clients import Program
from tests.support.containerd import running_containerd
from tests.support.containers import container_program, login
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, make_image
from tests.support.layouts import pack_image
from tests.support.registry import index_of, pull_blob, push_image, put_manifest
from tests.support.server import ACCOUNT, Server, running_server
from tests.support.token_registry import PASSWORD, USER, running_token_registry
from tests.support.upstream import put_secret, settings_for

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

NAME = "team/app"


@dataclass(frozen=True)
class Pair:
    """An ecrate that another one caches under the prefix `up`; what clients call it."""

    cache: Server
    upstream: Server

    @property
    def host(self) -> str:
        # RFC 6761: a name of this machine.
        return f"upstream.localhost:{self.upstream.port}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as opened:
        upstream = opened.enter_context(running_server(folder / "upstream"))
        url = f"http://upstream.localhost:{upstream.port}"
        env = settings_for(url)
        cache = opened.enter_context(running_server(folder / "data", env=env))
        key = {"username": upstream.key_id, "accessToken": upstream.secret}
        arn = put_secret(folder / "data" / "secrets", ACCOUNT, "upstream", key)
        cache.ecr().create_pull_through_cache_rule(
            ecrRepositoryPrefix="up", upstreamRegistryUrl=url, credentialArn=arn
        )
        yield Pair(cache, upstream)


@pytest.fixture(scope="module")
def runnable(tmp_path_factory: pytest.TempPathFactory) -> MadeImage:
    """An image whose layer is an archive."""
    folder = tmp_path_factory.mktemp("runnable")
    (folder / "hello").write_text("hello\n")
    with tarfile.open(folder / "layer.tar", "w") as tar:
        tar.add(folder / "hello", "hello")
    return pack_image([folder / "layer.tar"])


def push(server: Server, name: str, image: MadeImage, *tags: str) -> None:
    server.ecr().create_repository(repositoryName=name)
    with server.http() as http:
        push_image(http, name, image, *tags)


def test_docker_registry_behind_tokens_is_cached(tmp_path: Path) -> None:
    image = make_image(100_000)
    with ExitStack() as opened:
        upstream = opened.enter_context(running_token_registry(tmp_path))
        with upstream.http(NAME) as http:
            push_upstream(http, NAME, image)
        data = tmp_path / "data"
        cache = opened.enter_context(running_server(data, env=settings_for(upstream.url)))
        secret = {"username": USER, "accessToken": PASSWORD}
        arn = put_secret(data / "secrets", ACCOUNT, "upstream", secret)
        cache.ecr().create_pull_through_cache_rule(
            ecrRepositoryPrefix="up", upstreamRegistryUrl=upstream.url, credentialArn=arn
        )

        with cache.http() as http:
            manifest = http.get(f"/v2/up/{NAME}/manifests/v1")
            layers = [pull_blob(http, f"up/{NAME}", blob.digest) for blob in image.blobs]
            missing = http.get(f"/v2/up/{NAME}/manifests/v2")

    assert manifest.text == image.manifest
    assert layers == [blob.content for blob in image.blobs]
    assert missing.status_code == 404
    # One token did for all of it.
    assert {user for _, user in upstream.tokens.asked} == {USER}
    assert len(upstream.tokens.asked) == 1


def push_upstream(http: httpx.Client, name: str, image: MadeImage) -> None:
    """Push to a registry whose locations are whole URLs with a query."""
    for blob in image.blobs:
        location = http.post(f"/v2/{name}/blobs/uploads/").headers["Location"]
        done = http.put(f"{location}&digest={blob.digest}", content=blob.content)
        assert done.status_code == 201, done.text
    assert put_manifest(http, name, "v1", image.manifest, OCI_MANIFEST).status_code == 201


def test_another_ecrate_is_cached(pair: Pair) -> None:
    images = [make_image(1000), make_image(2000)]
    index = index_of(OCI_INDEX, OCI_MANIFEST, *(one.manifest for one in images))
    name = "team/multi"
    pair.upstream.ecr().create_repository(repositoryName=name)
    with pair.upstream.http() as http:
        for image in images:
            push_image(http, name, image)
        put_manifest(http, name, "v1", index, OCI_INDEX)

    with pair.cache.http() as http:
        assert http.get(f"/v2/up/{name}/manifests/v1").text == index
        for image in images:
            assert http.get(f"/v2/up/{name}/manifests/{image.digest}").text == image.manifest
            for blob in image.blobs:
                assert pull_blob(http, f"up/{name}", blob.digest) == blob.content


def test_containerd_takes_the_cache_for_a_mirror(pair: Pair, tmp_path: Path) -> None:
    image = make_image(5000)
    push(pair.upstream, "team/mirrored", image, "v1")
    folder = tmp_path / "certs.d" / pair.host
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(
        f'server = "http://127.0.0.1:1"\n[host."{pair.cache.endpoint}"]\n'
        'capabilities = ["pull", "resolve"]\n'
    )
    with running_containerd() as ctr:
        user = f"--user={pair.cache.key_id}:{pair.cache.secret}"
        options = ("--hosts-dir", str(tmp_path / "certs.d"), user)
        ctr.output("content", "fetch", *options, f"{pair.host}/team/mirrored:v1")
        kept = ctr.output("content", "list", "--quiet").split()

    assert {image.digest, *(blob.digest for blob in image.blobs)} <= set(kept)
    names = pair.cache.ecr().describe_repositories()["repositories"]
    assert "up/team/mirrored" in {one["repositoryName"] for one in names}


def test_podman_takes_the_cache_for_a_mirror(
    pair: Pair, runnable: MadeImage, tmp_path: Path
) -> None:
    push(pair.upstream, "team/renamed", runnable, "v1")
    (tmp_path / "registries.conf").write_text(
        f'[[registry]]\nlocation = "{pair.host}"\ninsecure = true\n'
        f'[[registry.mirror]]\nlocation = "{pair.cache.host}/up"\ninsecure = true\n'
    )
    with container_program("podman") as program:
        env = {**program.env, "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf")}
        podman = login(Program(program.command, program.home, env), pair.cache)
        podman.output("pull", f"{pair.host}/team/renamed:v1")
        found = json.loads(podman.output("image", "inspect", f"{pair.host}/team/renamed:v1"))

    assert found[0]["Digest"] == runnable.digest
    names = pair.cache.ecr().describe_repositories()["repositories"]
    assert "up/team/renamed" in {one["repositoryName"] for one in names}
