"""umoci: layouts it changed go through the registry, and what comes back unpacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clients import Program, find_program
from tests.support.layouts import read_blobs
from tests.support.server import Server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

PUSH = ("copy", "--preserve-digests", "--dest-tls-verify=false")
PULL = ("copy", "--preserve-digests", "--src-tls-verify=false")


@pytest.fixture
def umoci(tmp_path: Path) -> Program:
    """The `umoci` command. Nothing of it talks to a registry: skopeo does that for it."""
    return Program((find_program("umoci"),), tmp_path)


@pytest.fixture
def remote(server: Server, repository: str) -> str:
    """Where to push: a new repository."""
    return f"docker://{server.host}/{repository}"


@pytest.fixture
def ours(tmp_path: Path, skopeo: Program, busybox_layout: Path) -> Path:
    """A layout of this test's own, with the image `busybox`."""
    skopeo.output("copy", f"oci:{busybox_layout}:busybox", f"oci:{tmp_path}/ours:busybox")
    return tmp_path / "ours"


def test_image_with_an_inserted_layer_comes_back_and_unpacks(
    umoci: Program, skopeo: Program, ours: Path, remote: str, tmp_path: Path
) -> None:
    (tmp_path / "hello").write_text("hello")
    umoci.output("insert", "--image", f"{ours}:busybox", str(tmp_path / "hello"), "/etc/hello")
    umoci.output("config", "--image", f"{ours}:busybox", "--config.label", "made=here")
    skopeo.output(*PUSH, f"oci:{ours}:busybox", f"{remote}:changed")

    skopeo.output(*PULL, f"{remote}:changed", f"oci:{tmp_path}/theirs:changed")

    bundle = tmp_path / "bundle"
    umoci.output("unpack", "--image", f"{tmp_path}/theirs:changed", str(bundle))
    assert read_blobs(tmp_path / "theirs").items() <= read_blobs(ours).items()
    assert (bundle / "rootfs" / "etc" / "hello").read_text() == "hello"
    assert (bundle / "rootfs" / "bin" / "busybox").stat().st_size > 1_000_000


def test_repacked_root_comes_back_with_its_changes(
    umoci: Program, skopeo: Program, ours: Path, remote: str, tmp_path: Path
) -> None:
    bundle, again = tmp_path / "bundle", tmp_path / "again"
    umoci.output("unpack", "--image", f"{ours}:busybox", str(bundle))
    (bundle / "rootfs" / "bin" / "busybox").unlink()
    (bundle / "rootfs" / "new").symlink_to("usr")
    umoci.output("repack", "--image", f"{ours}:repacked", str(bundle))
    skopeo.output(*PUSH, f"oci:{ours}:repacked", f"{remote}:repacked")

    skopeo.output(*PULL, f"{remote}:repacked", f"oci:{tmp_path}/theirs:repacked")

    umoci.output("unpack", "--image", f"{tmp_path}/theirs:repacked", str(again))
    assert not (again / "rootfs" / "bin" / "busybox").exists()
    assert (again / "rootfs" / "new").readlink() == Path("usr")


def test_image_without_layers_comes_back(
    umoci: Program, skopeo: Program, remote: str, tmp_path: Path
) -> None:
    umoci.output("init", "--layout", str(tmp_path / "ours"))
    umoci.output("new", "--image", f"{tmp_path}/ours:empty")
    skopeo.output(*PUSH, f"oci:{tmp_path}/ours:empty", f"{remote}:empty")

    skopeo.output(*PULL, f"{remote}:empty", f"oci:{tmp_path}/theirs:empty")

    assert read_blobs(tmp_path / "theirs") == read_blobs(tmp_path / "ours")
