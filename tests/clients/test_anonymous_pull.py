"""Real clients without a name: they pull what is open to all, and are told when they may not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from oras.client import OrasClient

from tests.support.clients import Program
from tests.support.containerd import running_containerd
from tests.support.images import MadeImage
from tests.support.layouts import read_blobs
from tests.support.policies import open_to_all
from tests.support.server import ACCOUNT, Server, running_server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

ANONYMOUS_PULL = {"ECRATE_ANONYMOUS_PULL": "true"}
PLAIN = "--tls-verify=false"


@dataclass(frozen=True)
class Public:
    """A server that lets the nameless pull; both repositories have the image `busybox`."""

    server: Server
    open: str
    closed: str


@pytest.fixture(scope="module")
def public(skopeo: Program, busybox_layout: Path) -> Iterator[Public]:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env=ANONYMOUS_PULL) as server,
    ):
        names = ("public/open", "public/closed")
        for name in names:
            server.ecr().create_repository(repositoryName=name)
            credentials = f"--dest-creds={server.key_id}:{server.secret}"
            options = ("--preserve-digests", "--dest-tls-verify=false", credentials)
            remote = f"docker://{server.host}/{name}:busybox"
            skopeo.output("copy", *options, f"oci:{busybox_layout}:busybox", remote)
        open_to_all(server.ecr(), names[0])
        yield Public(server, *(f"{server.host}/{name}" for name in names))


@pytest.fixture
def docker(dockerd: Program, tmp_path: Path) -> Iterator[Program]:
    """docker, logged in nowhere, whose daemon forgets its images afterwards."""
    program = Program(dockerd.command, tmp_path, {**dockerd.env, "DOCKER_CONFIG": str(tmp_path)})
    yield program
    images = program.output("image", "ls", "--quiet", "--no-trunc").split()
    if images:
        program.output("image", "rm", "--force", *set(images))


def login(docker: Program, server: Server) -> None:
    user = ("--username", server.key_id, "--password-stdin")
    assert "Login Succeeded" in docker.output("login", *user, server.host, text=server.secret)


def denial(action: str, remote: str) -> str:
    """Give what the nameless are told."""
    repository = remote.partition("/")[2]
    return (
        f"unauthorized: User: anonymous is not authorized to perform: ecr:{action} on resource: "
        f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{repository} because no resource-based "
        f"policy allows the ecr:{action} action. You are not logged in."
    )


def tags(public: Public) -> list[str]:
    """List the tags of the open repository."""
    images = public.server.ecr().list_images(repositoryName="public/open")["imageIds"]
    return [image["imageTag"] for image in images]


def diff_ids(image: MadeImage) -> list[str]:
    """Give the digests of the image's uncompressed layers."""
    return list(json.loads(image.config.content)["rootfs"]["diff_ids"])


@pytest.mark.parametrize(
    "auths",
    [pytest.param({}, id="no-credentials"), pytest.param({"auth": "Og=="}, id="empty-ones")],
)
def test_docker_pulls_without_a_name(
    docker: Program, public: Public, busybox: MadeImage, auths: dict[str, str]
) -> None:
    config = {"auths": {public.server.host: auths}}
    (docker.home / "config.json").write_text(json.dumps(config))

    docker.output("pull", "--quiet", f"{public.open}:busybox")

    layers = docker.output(
        "image", "inspect", "--format={{json .RootFS.Layers}}", f"{public.open}:busybox"
    )
    assert json.loads(layers) == diff_ids(busybox)


def test_docker_push_without_a_name_is_refused(docker: Program, public: Public) -> None:
    docker.output("pull", "--quiet", f"{public.open}:busybox")
    docker.output("tag", f"{public.open}:busybox", f"{public.open}:mine")

    done = docker.run("push", f"{public.open}:mine")

    assert done.returncode != 0
    assert denial("PutImage", public.open) in done.stderr
    assert tags(public) == ["busybox"]


def test_docker_upload_without_a_name_is_refused(
    docker: Program, public: Public, tmp_path: Path
) -> None:
    (tmp_path / "layer.tar").write_bytes(bytes(10240))
    docker.output("import", str(tmp_path / "layer.tar"), f"{public.open}:new")

    done = docker.run("push", f"{public.open}:new")

    assert done.returncode != 0
    assert denial("InitiateLayerUpload", public.open) in done.stderr


def test_docker_pushes_once_it_is_logged_in(
    docker: Program, public: Public, tmp_path: Path
) -> None:
    (tmp_path / "layer.tar").write_bytes(bytes(10240))
    docker.output("import", str(tmp_path / "layer.tar"), f"{public.closed}:new")
    login(docker, public.server)

    docker.output("push", "--quiet", f"{public.closed}:new")

    docker.output("image", "rm", f"{public.closed}:new")
    docker.output("pull", "--quiet", f"{public.closed}:new")


def test_docker_does_not_pull_what_is_not_open_to_all(docker: Program, public: Public) -> None:
    done = docker.run("pull", f"{public.closed}:busybox")

    assert done.returncode != 0
    assert denial("BatchGetImage", public.closed) in done.stderr


def test_docker_pulls_what_is_not_open_to_all_once_it_is_logged_in(
    docker: Program, public: Public
) -> None:
    login(docker, public.server)

    docker.output("pull", "--quiet", f"{public.closed}:busybox")


def test_docker_login_with_a_wrong_secret_is_refused(docker: Program, public: Public) -> None:
    user = ("--username", public.server.key_id, "--password-stdin")

    done = docker.run("login", *user, public.server.host, text="wrong")

    assert done.returncode != 0
    assert "unauthorized: authentication required" in done.stderr


def test_skopeo_pulls_without_a_name(
    skopeo: Program, public: Public, busybox_layout: Path, tmp_path: Path
) -> None:
    options = ("--preserve-digests", "--src-tls-verify=false")

    skopeo.output("copy", *options, f"docker://{public.open}:busybox", f"oci:{tmp_path}/pulled:x")

    assert read_blobs(tmp_path / "pulled") == read_blobs(busybox_layout)


def test_skopeo_push_without_a_name_is_refused(
    skopeo: Program, public: Public, busybox_layout: Path
) -> None:
    remote = f"docker://{public.open}:mine"

    done = skopeo.run("copy", "--dest-tls-verify=false", f"oci:{busybox_layout}:busybox", remote)

    assert done.returncode != 0
    assert denial("PutImage", public.open) in done.stderr


def test_skopeo_delete_without_a_name_is_refused(skopeo: Program, public: Public) -> None:
    done = skopeo.run("delete", PLAIN, f"docker://{public.open}:busybox")

    assert done.returncode != 0
    assert "ecr:BatchDeleteImage" in done.stderr
    assert tags(public) == ["busybox"]


def test_containerd_pulls_without_a_name_and_pushes_with_one(public: Public) -> None:
    user = f"--user={public.server.key_id}:{public.server.secret}"
    with running_containerd() as ctr:
        ctr.output("content", "fetch", "--plain-http", f"{public.open}:busybox")

        ctr.output(
            "images", "push", "--plain-http", user, f"{public.closed}:ctr", f"{public.open}:busybox"
        )

    images = public.server.ecr().list_images(repositoryName="public/closed")["imageIds"]
    assert "ctr" in {image["imageTag"] for image in images}


def test_oras_pulls_without_a_name_and_pushes_with_one(
    public: Public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "note").write_text("hello")
    # Not the Basic of other tests: what oras does where nobody says otherwise.
    nameless, named = (OrasClient(hostname=public.server.host, insecure=True) for _ in range(2))
    named.auth.set_basic_auth(public.server.key_id, public.server.secret)
    answer = named.push(
        target=f"{public.open}:note", files=[f"{tmp_path}/note"], disable_path_validation=True
    )

    (pulled,) = nameless.pull(target=f"{public.open}:note", outdir=str(tmp_path / "pulled"))

    assert answer.status_code == 201
    assert Path(pulled).read_text() == "hello"
    named.delete_tag(public.open, "note")
    nameless.session.close()
    named.session.close()
