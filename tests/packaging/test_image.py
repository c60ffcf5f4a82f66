"""The container image: pushed to the registry, pulled from there, and started by docker."""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.packaging.conftest import EPOCH, Built, BuiltImage
from tests.support.clients import Program
from tools.release.image import build_image

pytestmark = pytest.mark.clients


def inspect(docker: Program, container: str) -> dict[str, Any]:
    (document,) = json.loads(docker.output("inspect", container))
    return dict(document)


def wait_for(container: str, docker: Program) -> str:
    """Give where the server in a container listens, once it does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told = docker.output("logs", container)
        if " listens on " in told:
            return f"http://127.0.0.1:{told.splitlines()[0].rpartition(':')[2]}"
        assert inspect(docker, container)["State"]["Running"], docker.run("logs", container).stderr
        time.sleep(0.05)
    raise TimeoutError(container)


def test_image_is_small(image: BuiltImage) -> None:
    assert image.archive.stat().st_size < 48 * 1024 * 1024


def test_image_serves_as_its_user_on_a_root_that_is_read_only(docker: Program) -> None:
    limits = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    settings = ("--env=ECRATE_PORT=0", "--env=ECRATE_WORKERS=1", "--env=ECRATE_HOST=127.0.0.1")
    container = docker.output("run", "--detach", "--network=host", *limits, *settings, "it").strip()
    check = ("exec", container, "/usr/bin/ecrate-healthcheck")

    endpoint = wait_for(container, docker)

    assert httpx.get(f"{endpoint}/readyz").status_code == 200
    assert inspect(docker, container)["Config"]["User"] == "65532:65532"
    assert docker.run(*check).returncode == 0
    docker.output("stop", "--time=30", container)
    state = inspect(docker, container)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    docker.output("start", container)
    wait_for(container, docker)
    docker.output("rm", "--force", "--volumes", container)


def test_health_check_fails_where_nobody_answers(docker: Program) -> None:
    code = "import pathlib; pathlib.Path('endpoint').write_text('http://0.0.0.0:9')"
    script = f"{code}; import runpy; runpy.run_path('/usr/bin/ecrate-healthcheck')"

    done = docker.run(
        "run", "--rm", "--network=host", "--entrypoint=/usr/bin/python3", "it", "-c", script
    )

    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_image_has_what_every_backend_needs(docker: Program) -> None:
    code = (
        "import psycopg, cryptography.x509, sqlite3, ssl, botocore.session, zoneinfo;"
        "botocore.session.Session().create_client('s3', region_name='us-east-1');"
        "zoneinfo.ZoneInfo('Europe/Berlin');"
        "print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 100)"
    )

    told = docker.output(
        "run", "--rm", "--network=none", "--entrypoint=/usr/bin/python3", "it", "-c", code
    )

    assert told == "True\n"


def test_image_has_no_shell_and_nothing_of_more_rights(image: BuiltImage) -> None:
    files = {one.name: one for one in members(image)}

    assert "usr/bin/sh" not in files
    risky = [one.name for one in files.values() if one.isfile() and one.mode & 0o6002]
    assert risky == []


def test_packages_in_the_image_are_those_that_scanners_read(image: BuiltImage) -> None:
    assert "var/lib/dpkg/status.d/libssl3" in {one.name for one in members(image)}


def members(image: BuiltImage) -> Iterator[tarfile.TarInfo]:
    """Give the members of all layers."""
    with tarfile.open(image.archive) as archive:
        for name in archive.getnames():
            content = archive.extractfile(name)
            with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=content) as layer:
                yield from layer


def test_second_build_has_the_same_bytes(built: Built, image: BuiltImage, tmp_path: Path) -> None:
    for name in ("debian", "packages"):  # the same downloads
        (tmp_path / name).symlink_to(image.work / name)

    wheel = tmp_path / built.wheel.name
    shutil.copyfile(built.wheel, wheel)

    build_image(wheel, tmp_path / "again.tar", tmp_path, EPOCH)

    assert (tmp_path / "again.tar").read_bytes() == image.archive.read_bytes()
