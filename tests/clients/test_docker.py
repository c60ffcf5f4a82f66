"""docker with a real daemon: login, push, pull, and what it prints when it may not."""

from __future__ import annotations

import hashlib
import json
import tarfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clients import Program
from tests.support.images import MadeImage
from tests.support.server import ACCOUNT, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
LAYERS = 3


@pytest.fixture
def docker(dockerd: Program, server: Server) -> Program:
    """The `docker` command, logged in with the root key."""
    login(dockerd, server.host, server.key_id, server.secret)
    return dockerd


@pytest.fixture(scope="session")
def built(
    dockerd: Program, root_layers: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A Debian root as docker builds it, in three layers, saved to a file."""
    folder = tmp_path_factory.mktemp("docker")
    for layer in root_layers:
        (folder / layer.name).hardlink_to(layer)
    adds = [f"ADD {layer.name} /" for layer in root_layers]
    (folder / "Dockerfile").write_text("\n".join(["FROM scratch", *adds, 'CMD ["/bin/bash"]', ""]))
    dockerd.output("build", "--quiet", "--tag", "built", str(folder))
    dockerd.output("save", "--output", str(folder / "built.tar"), "built")
    return folder / "built.tar"


@pytest.fixture(autouse=True)
def _no_images(dockerd: Program) -> Iterator[None]:
    """Leave the daemon without images after each test."""
    yield
    forget_images(dockerd)


@pytest.fixture
def local(dockerd: Program, built: Path) -> str:
    """The id of the built image, which the daemon has."""
    dockerd.output("load", "--quiet", "--input", str(built))
    return image_id(dockerd, "built")


@pytest.fixture
def make_remote(server: Server, make_repository: Callable[[], str]) -> Callable[[], str]:
    """Create repositories and tell where to push."""
    return lambda: f"{server.host}/{make_repository()}"


@pytest.fixture
def remote(make_remote: Callable[[], str]) -> str:
    """Where to push: a new repository."""
    return make_remote()


@pytest.fixture
def pushed(docker: Program, local: str, remote: str) -> str:
    """A repository with the built image as `latest`, which the daemon has forgotten."""
    docker.output("tag", local, remote)
    docker.output("push", remote)
    forget_images(docker)
    return remote


def login(docker: Program, host: str, user: str, password: str) -> None:
    words = ("login", "--username", user, "--password-stdin", host)
    assert "Login Succeeded" in docker.output(*words, text=password)


def image_id(docker: Program, name: str) -> str:
    return docker.output("image", "inspect", "--format", "{{.Id}}", name).strip()


def forget_images(docker: Program) -> None:
    """Make the daemon drop all its images, and the layers with them."""
    images = docker.output("image", "ls", "--quiet", "--no-trunc").split()
    docker.run("image", "rm", "--force", *images)
    assert docker.output("image", "ls", "--all", "--quiet") == ""


def read_saved(file: Path) -> tuple[bytes, list[str]]:
    """Give a saved image's config, and the digests of its uncompressed layers."""
    with tarfile.open(file) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(name)
            assert member is not None
            return member.read()

        (entry,) = json.loads(read("manifest.json"))
        layers = [hashlib.sha256(read(name)).hexdigest() for name in entry["Layers"]]
        return read(entry["Config"]), layers


def test_login_with_an_authorization_token(
    dockerd: Program, server: Server, ecr: ECRClient
) -> None:
    (data,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = b64decode(data["authorizationToken"]).decode().partition(":")

    login(dockerd, server.host, user, password)


def test_login_with_the_aws_command(dockerd: Program, server: Server, aws: Program) -> None:
    password = aws.output("ecr", "get-login-password")

    login(dockerd, server.host, "AWS", password)


def test_login_with_a_wrong_secret_is_refused(dockerd: Program, server: Server) -> None:
    words = ("login", "--username", server.key_id, "--password-stdin", server.host)

    done = dockerd.run(*words, text="wrong")

    assert done.returncode != 0
    assert "401 Unauthorized" in done.stderr


def test_push_and_pull_keep_the_image(
    docker: Program, local: str, remote: str, built: Path, tmp_path: Path
) -> None:
    docker.output("tag", local, remote)
    pushing = docker.output("push", remote)
    forget_images(docker)

    pulling = docker.output("pull", remote)

    docker.output("save", "--output", str(tmp_path / "pulled.tar"), remote)
    assert pushing.count(": Pushed") == pulling.count(": Pull complete") == LAYERS
    assert image_id(docker, remote) == local
    assert read_saved(tmp_path / "pulled.tar") == read_saved(built)


def test_push_of_an_imported_image(docker: Program, remote: str, root_layers: list[Path]) -> None:
    imported = docker.output("import", str(root_layers[0]), remote).strip()
    docker.output("push", remote)
    forget_images(docker)

    docker.output("pull", remote)

    assert image_id(docker, remote) == imported


def test_push_again_uploads_nothing(docker: Program, local: str, remote: str) -> None:
    docker.output("tag", local, remote)
    first = docker.output("push", remote)

    again = docker.output("push", remote)

    assert again.count(": Layer already exists") == LAYERS
    assert again.splitlines()[-1] == first.splitlines()[-1]


def test_push_to_a_second_repository(
    docker: Program, local: str, make_remote: Callable[[], str]
) -> None:
    remotes = (make_remote(), make_remote())
    for remote in remotes:
        docker.output("tag", local, remote)
        docker.output("push", remote)
    forget_images(docker)

    docker.output("pull", remotes[1])

    assert image_id(docker, remotes[1]) == local


def test_push_of_all_tags(docker: Program, local: str, remote: str, ecr: ECRClient) -> None:
    for tag in ("one", "two"):
        docker.output("tag", local, f"{remote}:{tag}")

    docker.output("push", "--all-tags", remote)

    (image,) = described(ecr, remote)
    assert image["imageTags"] == ["one", "two"]


def described(ecr: ECRClient, remote: str) -> list[Any]:
    return list(ecr.describe_images(repositoryName=remote.partition("/")[2])["imageDetails"])


def test_push_is_described_by_the_api(
    docker: Program, local: str, remote: str, ecr: ECRClient
) -> None:
    docker.output("tag", local, f"{remote}:v1")

    pushing = docker.output("push", f"{remote}:v1")

    (image,) = described(ecr, remote)
    assert image["imageTags"] == ["v1"]
    assert image["imageManifestMediaType"] == SCHEMA_2
    assert f"v1: digest: {image['imageDigest']} size:" in pushing


def test_push_to_a_missing_repository_says_so(docker: Program, local: str, server: Server) -> None:
    docker.output("tag", local, f"{server.host}/no/such")

    done = docker.run("push", f"{server.host}/no/such")

    assert done.returncode != 0
    assert done.stderr.strip() == (
        "name unknown: The repository with name 'no/such' does not exist in the registry "
        f"with id '{ACCOUNT}'"
    )


def test_push_over_an_immutable_tag_says_so(
    docker: Program, server: Server, ecr: ECRClient, root_layers: list[Path]
) -> None:
    ecr.create_repository(repositoryName="clients/immutable", imageTagMutability="IMMUTABLE")
    remote = f"{server.host}/clients/immutable"
    docker.output("import", str(root_layers[0]), remote)
    docker.output("push", remote)
    docker.output("import", "--change", "CMD other", str(root_layers[0]), remote)

    done = docker.run("push", remote)

    assert done.returncode != 0
    assert done.stderr.strip() == (
        "tag invalid: The image tag 'latest' already exists in the 'clients/immutable' repository "
        "and cannot be overwritten because the repository is immutable."
    )


def test_push_without_login_is_refused(
    docker: Program, local: str, remote: str, server: Server
) -> None:
    docker.output("tag", local, remote)
    docker.output("logout", server.host)

    done = docker.run("push", remote)

    assert done.returncode != 0
    assert "no basic auth credentials" in done.stderr


def test_pull_by_digest(docker: Program, pushed: str, local: str, ecr: ECRClient) -> None:
    (image,) = described(ecr, pushed)

    docker.output("pull", f"{pushed}@{image['imageDigest']}")

    assert image_id(docker, f"{pushed}@{image['imageDigest']}") == local


def test_pull_of_a_missing_image_says_so(docker: Program, remote: str) -> None:
    done = docker.run("pull", f"{remote}:nothing")

    assert done.returncode != 0
    assert "manifest unknown: Requested image not found" in done.stderr


@pytest.fixture
def pushed_index(skopeo: Program, layout: Path, remote: str) -> str:
    """A multi-arch image that skopeo pushed."""
    words = ("copy", "--all", "--dest-tls-verify=false")
    skopeo.output(*words, f"oci:{layout}:multi", f"docker://{remote}:multi")
    return f"{remote}:multi"


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_pull_of_an_index_takes_the_platform(
    docker: Program, pushed_index: str, images: dict[str, MadeImage], architecture: str
) -> None:
    docker.output("pull", "--platform", f"linux/{architecture}", pushed_index)

    assert image_id(docker, pushed_index) == images[architecture].config.digest
