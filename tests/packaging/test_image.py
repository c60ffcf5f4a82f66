"""The container image: through the registry and back, and started from what comes back.

No container engine starts it, so that this works where one may not: the image's own files, below a
root of their own, in namespaces of their own, as the image's user, by its entrypoint and with its
variables. The server is the first process there, as in a container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ecrate.cli import main as ecrate
from tests.packaging.conftest import EPOCH, Built, BuiltImage
from tests.support.clients import Program, find_program, miss
from tests.support.server import Server
from tools.release.image import build_image

pytestmark = pytest.mark.clients

_ENTER = """\
mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/tmp"
root=$0 user=$1; shift; chroot=$1; shift; exec "$chroot" "--userspec=$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Unpacked:
    """An image that was pulled: its files and its configuration."""

    root: Path
    config: dict[str, Any]

    @property
    def variables(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.config["Env"])

    def command(self, *words: str) -> list[str]:
        """Give what runs words in the image, as its user."""
        if os.geteuid() != 0:
            miss("namespaces need root")
        inside = [find_program("sh"), "-ec", _ENTER, str(self.root), self.config["User"]]
        return [
            *(find_program("unshare"), "--mount", "--pid", "--fork", "--kill-child"),
            *(*inside, find_program("chroot"), *words),
        ]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.variables, capture_output=True, text=True, check=False
        )

    @contextlib.contextmanager
    def started(self) -> Iterator[tuple[psutil.Process, str]]:
        """Start the image with nothing more said than a port; give its first process, and where
        it listens. Behind the block it has to end by itself, and well.
        """
        words = [*self.config["Entrypoint"], *self.config["Cmd"]]
        with subprocess.Popen(
            self.command(*words),
            env={**self.variables, "ECRATE_PORT": "0", "ECRATE_WORKERS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        ) as outer:
            assert outer.stdout is not None
            try:
                line = outer.stdout.readline()
                (first,) = psutil.Process(outer.pid).children()
                yield first, f"http://127.0.0.1:{line.strip().rpartition(':')[2]}"
                outer.stdout.read()
                assert outer.wait(30) == 0
            finally:
                outer.kill()


@pytest.fixture(scope="module")
def pulled(image: BuiltImage, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """The image, pushed to a registry, pulled from there, and unpacked."""
    folder = tmp_path_factory.mktemp("pulled")
    skopeo = Program((find_program("skopeo"), "--insecure-policy"), folder)
    umoci = Program((find_program("umoci"),), folder)
    server.ecr().create_repository(repositoryName="ecrate")
    login = f"{server.key_id}:{server.secret}"
    there = f"docker://{server.host}/ecrate:it"
    skopeo.output(
        *("copy", "--preserve-digests", "--dest-tls-verify=false", f"--dest-creds={login}"),
        *(f"oci-archive:{image.archive}", there),
    )
    skopeo.output(
        *("copy", "--preserve-digests", "--src-tls-verify=false", f"--src-creds={login}"),
        *(there, f"oci:{folder}/layout:it"),
    )
    umoci.output("unpack", "--image", f"{folder}/layout:it", f"{folder}/bundle")
    config = json.loads(skopeo.output("inspect", "--config", "--raw", f"oci:{folder}/layout:it"))
    return Unpacked(folder / "bundle/rootfs", config["config"])


def test_image_is_small(image: BuiltImage) -> None:
    assert image.archive.stat().st_size < 48 * 1024 * 1024


def test_image_serves_as_its_user_and_ends_when_told(pulled: Unpacked) -> None:
    with pulled.started() as (first, endpoint):
        assert httpx.get(f"{endpoint}/readyz").status_code == 200
        assert first.uids().real == 65532
        health = pulled.config["Healthcheck"]["Test"]
        good = pulled.run(*health[1:])
        first.send_signal(signal.SIGTERM)

    bad = pulled.run(*health[1:])
    assert (good.returncode, bad.returncode) == (0, 1), (good.stderr, bad.stderr)
    assert "refused" in bad.stderr


def test_image_has_what_every_backend_needs(pulled: Unpacked) -> None:
    code = (
        "import psycopg, cryptography.x509, sqlite3, ssl, botocore.session, zoneinfo;"
        "botocore.session.Session().create_client('s3', region_name='us-east-1');"
        "zoneinfo.ZoneInfo('Europe/Berlin');"
        "print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 100)"
    )

    done = pulled.run("/usr/bin/python3", "-c", code)

    assert done.stdout == "True\n", done.stderr


def test_image_has_no_shell_and_nothing_that_everyone_may_write(pulled: Unpacked) -> None:
    files = [path for path in pulled.root.rglob("*") if path.is_file() and not path.is_symlink()]

    assert not (pulled.root / "bin/sh").exists()
    assert [path for path in files if path.stat().st_mode & 0o6002] == []


def test_image_is_one_that_ecrate_pushes_itself(
    image: BuiltImage, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)

    assert ecrate(["push", "--create", "--quiet", str(image.archive), "own/ecrate:it"]) == 0


def test_packages_in_the_image_are_those_that_scanners_read(image: BuiltImage) -> None:
    with tarfile.open(image.archive) as archive:
        names = archive.getnames()
        blobs = [name for name in names if name.startswith("blobs/")]
        found: list[str] = []
        for name in blobs:
            content = archive.extractfile(name)
            with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=content) as layer:
                found += layer.getnames()

    assert {"var/lib/dpkg/status.d/libssl3", "usr/bin/ecrate"} <= set(found)


def test_second_build_has_the_same_bytes(built: Built, image: BuiltImage, tmp_path: Path) -> None:
    for name in ("debian", "packages"):  # the same downloads
        (tmp_path / name).symlink_to(image.work / name)

    wheel = tmp_path / built.wheel.name
    shutil.copyfile(built.wheel, wheel)

    build_image(wheel, tmp_path / "again.tar", tmp_path, EPOCH)

    assert (tmp_path / "again.tar").read_bytes() == image.archive.read_bytes()
