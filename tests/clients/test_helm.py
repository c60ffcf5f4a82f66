"""Helm: charts are pushed to and pulled from the registry, by version and as dependencies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clients import Program
from tests.support.helm import call, find_helm, refusal
from tests.support.registry import token_of
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

pytestmark = pytest.mark.clients

CHART = """\
apiVersion: v2
name: {name}
version: {version}
description: Says hello.
"""
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: hello}
data: {greeting: {{ .Values.greeting | quote }}}
"""
CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@pytest.fixture
def helm(tmp_path: Path, server: Server) -> Program:
    """Helm, logged in with the root key."""
    program = find_helm(tmp_path)
    call(program, "login", server.host, server.key_id, server.secret, plain_http=True)
    return program


@pytest.fixture
def registry(server: Server, new_repository: Callable[[], str], ecr: ECRClient) -> str:
    """Where to push charts: there is a repository for the chart `hello`."""
    name = new_repository()
    ecr.create_repository(repositoryName=f"{name}/hello")
    return f"oci://{server.host}/{name}"


def make_chart(folder: Path, name: str, version: str, *, rest: str = "") -> Path:
    """Write a chart and give its folder."""
    chart = folder / f"{name}-{version}-source" / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(CHART.format(name=name, version=version) + rest)
    (chart / "values.yaml").write_text("greeting: hello\n")
    (chart / "templates" / "map.yaml").write_text(TEMPLATE)
    return chart


def pack(helm: Program, folder: Path, version: str) -> str:
    """Give the archive of the chart `hello`."""
    chart = make_chart(folder, "hello", version)
    return str(call(helm, "package", str(chart), destination=str(folder)))


def pull(helm: Program, registry: str, version: str) -> Path:
    """Pull the chart `hello` and give the one archive that comes."""
    folder = helm.home / "pulled"
    folder.mkdir()
    options = {"version": version, "destination": str(folder), "plain_http": True}
    call(helm, "pull", f"{registry}/hello", **options)
    (archive,) = folder.iterdir()
    return archive


def test_pushed_chart_comes_back(helm: Program, registry: str, tmp_path: Path) -> None:
    archive = pack(helm, tmp_path, "0.1.0")
    call(helm, "push", archive, registry, plain_http=True)

    pulled = pull(helm, registry, "0.1.0")

    assert pulled.name == "hello-0.1.0.tgz"
    assert pulled.read_bytes() == Path(archive).read_bytes()


def test_pushed_chart_is_an_image_of_its_kind(
    helm: Program, registry: str, tmp_path: Path, ecr: ECRClient
) -> None:
    archive = pack(helm, tmp_path, "0.1.0")

    call(helm, "push", archive, registry, plain_http=True)

    name = registry.removeprefix("oci://").partition("/")[2] + "/hello"
    (detail,) = ecr.describe_images(repositoryName=name)["imageDetails"]
    (image,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "0.1.0"}])["images"]
    manifest = json.loads(image["imageManifest"])
    assert detail["artifactMediaType"] == CONFIG
    assert detail["imageTags"] == ["0.1.0"]
    assert [layer["mediaType"] for layer in manifest["layers"]] == [CONTENT]


def test_tags_are_versions_newest_first(helm: Program, registry: str, tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "1.0.0-rc.1"):
        call(helm, "push", pack(helm, tmp_path, version), registry, plain_http=True)

    tags = call(helm, "tags", f"{registry.removeprefix('oci://')}/hello")

    assert tags == ["1.0.0-rc.1", "0.10.0", "0.9.0"]


def test_version_with_a_plus_is_kept(helm: Program, registry: str, tmp_path: Path) -> None:
    archive = pack(helm, tmp_path, "0.1.0+build.7")  # no tag may have a plus: Helm writes _
    call(helm, "push", archive, registry, plain_http=True)

    pulled = pull(helm, registry, "0.1.0+build.7")

    assert pulled.name == "hello-0.1.0+build.7.tgz"


def test_range_of_versions_finds_the_newest(helm: Program, registry: str, tmp_path: Path) -> None:
    for version in ("1.2.0", "1.3.0", "2.0.0"):
        call(helm, "push", pack(helm, tmp_path, version), registry, plain_http=True)

    pulled = pull(helm, registry, "^1")

    assert pulled.name == "hello-1.3.0.tgz"


def test_chart_finds_its_dependency_in_the_registry(
    helm: Program, registry: str, tmp_path: Path
) -> None:
    call(helm, "push", pack(helm, tmp_path, "0.1.0"), registry, plain_http=True)
    needs = f'dependencies: [{{name: hello, version: ">=0.1.0", repository: "{registry}"}}]\n'
    chart = make_chart(tmp_path, "parent", "1.0.0", rest=needs)

    call(helm, "dependency_update", str(chart), plain_http=True)

    assert [file.name for file in (chart / "charts").iterdir()] == ["hello-0.1.0.tgz"]


def test_login_with_an_authorization_token(server: Server, registry: str, tmp_path: Path) -> None:
    helm = find_helm(tmp_path)

    call(helm, "login", server.host, "AWS", token_of(server), plain_http=True)

    call(helm, "push", pack(helm, tmp_path, "0.1.0"), registry, plain_http=True)


def test_login_with_a_wrong_secret_is_refused(server: Server, tmp_path: Path) -> None:
    helm = find_helm(tmp_path)

    told = refusal(helm, "login", server.host, server.key_id, "wrong", plain_http=True)

    assert "response status code 401: Unauthorized" in told


def test_push_to_a_missing_repository_says_so(
    helm: Program, server: Server, tmp_path: Path
) -> None:
    archive = pack(helm, tmp_path, "0.1.0")

    told = refusal(helm, "push", archive, f"oci://{server.host}/no/such", plain_http=True)

    assert "name unknown: The repository with name 'no/such/hello' does not exist" in told
