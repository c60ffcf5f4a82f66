"""Two nodes that share a database on PostgreSQL, a folder of blobs and a secret."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.audit import audit_rows
from tests.support.images import OCI_MANIFEST, Blob, digest_of, make_image
from tests.support.postgres import Postgres, running_postgres
from tests.support.pushing import MIB
from tests.support.registry import (
    forever,
    manifest_of,
    pull_blob,
    push_blobs,
    push_image,
    put_manifest,
)
from tests.support.server import Server, plain_environment, read_key, running_server, start_server

pytestmark = pytest.mark.postgres

PART = os.urandom(5 * MIB)


@dataclass(frozen=True)
class Site:
    """The nodes, and what they share."""

    postgres: Postgres
    url: str
    folder: Path
    nodes: tuple[Server, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--database", self.url, "--blobs", f"file://{self.folder / 'blobs'}")

    @property
    def env(self) -> dict[str, str]:
        return {"ECRATE_SECRET_FILE": str(self.folder / "secret"), "ECRATE_WORKERS": "1"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two nodes that were started at once, on a database that nobody had used."""
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as opened:
        postgres = opened.enter_context(running_postgres())
        url = opened.enter_context(postgres.empty())
        (folder / "blobs").mkdir()
        empty = Site(postgres, url, folder)

        def start(name: str) -> Server:
            made = start_server(folder / name, *empty.arguments, env=empty.env, key=("", ""))
            opened.callback(made.kill)
            opened.callback(made.stop)
            return made

        with ThreadPoolExecutor(2) as threads:
            started = list(threads.map(start, ("first", "second")))
        (key,) = [read_key(node.data) for node in started if (node.data / "credentials").exists()]
        one, two = (dataclasses.replace(node, key_id=key[0], secret=key[1]) for node in started)
        yield dataclasses.replace(empty, nodes=(one, two))


@pytest.fixture
def doors(site: Site) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client at the registry door of each node."""
    with site.nodes[0].http() as first, site.nodes[1].http() as second:
        yield first, second


def create(site: Site, name: str) -> str:
    site.nodes[0].ecr().create_repository(repositoryName=name)
    return name


def test_nodes_started_at_once_make_one_root_key(site: Site) -> None:
    described = [node.ecr().describe_registry()["registryId"] for node in site.nodes]
    listed = json.loads(site.nodes[0].iam("list").stdout)

    assert described == ["000000000000"] * 2
    assert [principal["kind"] for principal in listed] == ["root"]
    assert [key["id"] for key in listed[0]["keys"]] == [site.nodes[0].key_id]


def test_image_pushed_at_one_node_is_pulled_at_the_other(
    site: Site, doors: tuple[httpx.Client, httpx.Client]
) -> None:
    name, image = create(site, "pushed"), make_image(MIB, 10)

    push_image(doors[0], name, image, "v1")

    assert doors[1].get(f"/v2/{name}/manifests/v1").text == image.manifest
    assert [pull_blob(doors[1], name, blob.digest) for blob in image.blobs] == [
        blob.content for blob in image.blobs
    ]


def test_layer_whose_parts_come_to_different_nodes_is_whole(site: Site) -> None:
    name, (first, second) = create(site, "parts"), [node.ecr() for node in site.nodes]
    image = make_image(3)
    layer = dataclasses.replace(image.layers[0], content=PART + b"the rest")
    image = dataclasses.replace(image, layers=(layer,))
    upload_id = first.initiate_layer_upload(repositoryName=name)["uploadId"]
    config_id = second.initiate_layer_upload(repositoryName=name)["uploadId"]
    for ecr, which, start, content in (
        (second, upload_id, 0, PART),
        (first, upload_id, len(PART), b"the rest"),
        (first, config_id, 0, image.config.content),
    ):
        ecr.upload_layer_part(
            repositoryName=name,
            uploadId=which,
            partFirstByte=start,
            partLastByte=start + len(content) - 1,
            layerPartBlob=content,
        )
    for ecr, which, blob in ((second, upload_id, layer), (first, config_id, image.config)):
        ecr.complete_layer_upload(repositoryName=name, uploadId=which, layerDigests=[blob.digest])

    first.put_image(repositoryName=name, imageManifest=image.manifest, imageTag="v1")

    url = second.get_download_url_for_layer(repositoryName=name, layerDigest=layer.digest)
    got = second.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])
    assert httpx.get(url["downloadUrl"]).content == layer.content
    assert got["images"][0]["imageManifest"] == image.manifest


def test_tag_that_moves_at_one_node_has_moved_at_the_other(
    site: Site, doors: tuple[httpx.Client, httpx.Client]
) -> None:
    name, images = create(site, "moving"), [make_image(number) for number in range(1, 6)]
    seen = []

    for number, image in enumerate(images):
        push_image(doors[number % 2], name, image, "latest")
        seen.append(doors[1 - number % 2].get(f"/v2/{name}/manifests/latest").text)

    assert seen == [image.manifest for image in images]


def test_referrer_pushed_at_one_node_is_listed_at_the_other(
    site: Site, doors: tuple[httpx.Client, httpx.Client]
) -> None:
    name, subject, about = create(site, "about"), make_image(1), make_image(2)
    push_image(doors[0], name, subject, "v1")
    push_blobs(doors[0], name, about)
    path, seen = f"/v2/{name}/referrers/{subject.digest}", []
    for number in range(4):
        members = {"subject": Blob(subject.manifest.encode(), OCI_MANIFEST).descriptor}
        document = manifest_of(about, OCI_MANIFEST, annotations={"n": str(number)}, **members)
        put = put_manifest(doors[number % 2], name, digest_of(document.encode()), document)

        listed = doors[1 - number % 2].get(path).json()["manifests"]
        seen.append((put.headers["OCI-Subject"], len(listed)))

    assert seen == [(subject.digest, number + 1) for number in range(4)]


def test_every_tag_that_writers_on_both_nodes_were_told_of_is_there(site: Site) -> None:
    name, image = create(site, "writers"), make_image(10)
    with site.nodes[0].http() as http:
        push_image(http, name, image)

    def write(writer: int) -> list[str]:
        told = []
        with site.nodes[writer % 2].http() as http:
            for number in range(8):
                path = f"/v2/{name}/manifests/w{writer}-{number}"
                headers = {"Content-Type": OCI_MANIFEST}
                if http.put(path, content=image.manifest, headers=headers).status_code == 201:
                    told.append(f"w{writer}-{number}")
        return told

    with ThreadPoolExecutor(4) as threads:
        told = [tag for tags in threads.map(write, range(4)) for tag in tags]

    with site.nodes[1].http() as http:
        assert http.get(f"/v2/{name}/tags/list").json()["tags"] == sorted(told)
    assert len(told) == 32


def test_key_switched_off_at_one_node_is_refused_at_the_other(site: Site) -> None:
    made = json.loads(site.nodes[0].iam("create-access-key", "root").stdout)
    node = dataclasses.replace(site.nodes[1], key_id=made["id"], secret=made["secret"])
    before = node.ecr().describe_registry()["registryId"]

    site.nodes[0].iam("deactivate", made["id"])

    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        node.ecr().describe_registry()
    assert before == "000000000000"


def refusal(site: Site, data: Path, **env: str) -> tuple[int, str]:
    """Start a node that cannot start; give its exit code and what it says."""
    command = [sys.executable, "-m", "ecrate", "serve", "--port", "0", "--data", str(data)]
    answer = subprocess.run(
        [*command, *site.arguments],
        env={**plain_environment(), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.stdout == ""
    return answer.returncode, answer.stderr


def test_node_with_another_secret_does_not_start(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("0" * 64)

    code, said = refusal(site, tmp_path / "data", ECRATE_SECRET_FILE=str(other))

    assert code == 2
    assert said.startswith(f"ecrate: the secret in {other} is not that of the database: ")
    assert said.count("\n") == 1


def test_node_without_the_secret_does_not_make_one(site: Site, tmp_path: Path) -> None:
    code, said = refusal(site, tmp_path / "data")

    secret = tmp_path / "data" / "secret"
    assert (code, said) == (
        2,
        f"ecrate: cannot use 'secret_file' {secret}: No such file or directory\n",
    )
    assert not secret.exists()


def test_iam_with_another_secret_makes_no_keys(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0" * 64)

    node = dataclasses.replace(site.nodes[0], data=tmp_path, settings={})

    answer = node.iam("create-access-key", "root")

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        f"ecrate: the secret in {tmp_path / 'secret'} is not that of the database\n"
    )


def test_new_secret_is_accepted_when_told_so(tmp_path: Path, site: Site) -> None:
    with site.postgres.empty() as url:
        arguments = ("--database", url)
        with running_server(tmp_path / "data", *arguments, env={"ECRATE_WORKERS": "1"}) as old:
            old.ecr().create_repository(repositoryName="one")
        (tmp_path / "data" / "secret").write_text("0" * 64)
        env = {"ECRATE_WORKERS": "1", "ECRATE_NEW_SECRET": "true"}

        with running_server(tmp_path / "data", *arguments, env=env) as new:
            with pytest.raises(ClientError, match="InvalidSignatureException"):
                new.ecr().describe_repositories()
            made = json.loads(new.iam("create-access-key", "root").stdout)
            node = dataclasses.replace(new, key_id=made["id"], secret=made["secret"])
            found = node.ecr().describe_repositories()["repositories"]

    assert [one["repositoryName"] for one in found] == ["one"]


def test_nodes_say_that_the_database_is_away_and_go_on_when_it_is_back(
    site: Site, doors: tuple[httpx.Client, httpx.Client]
) -> None:
    name, image = create(site, "away"), make_image(10)
    push_image(doors[0], name, image, "v1")
    path = f"/v2/{name}/manifests/v1"
    site.postgres.stop(signal.SIGQUIT)
    with pytest.raises(ClientError) as refused:
        site.nodes[0].ecr().describe_repositories()
    away = doors[0].get(path)
    health = [doors[0].get(at).status_code for at in ("/healthz", "/readyz")]
    site.postgres.start()

    for _ in forever(step=0.05):
        if doors[0].get("/readyz").status_code == 200:
            break

    metadata = refused.value.response["ResponseMetadata"]
    assert refused.value.response["Error"]["Code"] == "ServerException"
    assert (metadata["HTTPStatusCode"], metadata["HTTPHeaders"]["retry-after"]) == (503, "5")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
    assert away.json()["errors"][0]["message"].startswith("The server cannot reach its storage")
    assert health == [200, 503]
    assert doors[0].get(path).text == doors[1].get(path).text == image.manifest


def test_images_acknowledged_before_the_database_was_killed_are_there(site: Site) -> None:
    name, image = create(site, "killed"), make_image(10)
    with site.nodes[0].http() as http:
        push_image(http, name, image)
    told: list[str] = []
    is_over = threading.Event()

    def write(node: Server) -> None:
        number = 0
        with node.http() as http:
            while not is_over.is_set():
                tag = f"n{node.port}-{number}"
                headers = {"Content-Type": OCI_MANIFEST}
                path = f"/v2/{name}/manifests/{tag}"
                if http.put(path, content=image.manifest, headers=headers).status_code == 201:
                    told.append(tag)
                    number += 1

    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(write, node) for node in site.nodes]
        for _ in range(2):
            before = len(told)
            for _ in forever(step=0.01):
                if len(told) > before + 5:
                    break
            site.postgres.stop(signal.SIGQUIT)
            site.postgres.start()
        is_over.set()
        for writer in writers:
            writer.result()

    with site.nodes[1].http() as http:
        there = http.get(f"/v2/{name}/tags/list", params={"n": 1000}).json()["tags"]
    assert set(told) <= set(there)
    with site.postgres.connect(site.url.partition("@/")[2].partition("?")[0]) as connection:
        problems = audit_rows(
            lambda query: connection.execute(query.encode()).fetchall(), site.folder / "blobs"
        )
        assert [*problems] == []
