"""The container image, from packaging/image/recipe.toml, without a container engine.

Three layers, what changes least at the bottom: Debian's Python, the pinned packages, ecrate.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecrate import __version__
from ecrate.cli.layout_writer import LayoutWriter
from tools.release import debian
from tools.release.layer import Entry, Layer, make_layer

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "packaging/image"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# They tell of the build: folders, times.
_OF_THE_INSTALLATION = {"RECORD", "direct_url.json", "uv_cache.json"}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def build_image(wheel: Path, archive: Path, work: Path, epoch: int) -> None:
    """Write an OCI layout as a .tar, which `docker load`, podman and `ecrate push` take.

    `work` is a folder; what it has already of an earlier build is not fetched again.
    """
    recipe = tomllib.loads((_FOLDER / "recipe.toml").read_text())
    if sys.version_info[:2] != tuple(map(int, recipe["python"]["version"].split("."))):
        raise SystemExit(f"the image is built with Python {recipe['python']['version']}, as in it")
    layers = [
        make_layer(_base(recipe, work), epoch),
        make_layer(_packages(recipe, work, epoch), epoch),
        make_layer(_own(recipe, wheel, work, epoch), epoch),
    ]
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = _dumped(_config(recipe, layers, created))
    manifest = _dumped(_manifest(config, layers))
    with LayoutWriter(archive) as layout:
        for content in [config, manifest, *(layer.content for layer in layers)]:
            layout.put(_digest(content), content)
        descriptor = _descriptor(_MANIFEST, manifest)
        layout.finish(descriptor, tag=__version__, name=f"ecrate:{__version__}")


def _base(recipe: dict[str, Any], work: Path) -> Iterator[Entry]:
    folder = work / "debian"
    if not folder.exists():
        folder.mkdir()
        debian.download(recipe["debian"]["packages"], folder)
    yield from debian.merged_links()
    certificates = {}
    for package in sorted(folder.glob("*.deb")):
        for entry in debian.unpacked(package, recipe["debian"]["left_out"]):
            if entry.path.startswith("usr/share/ca-certificates/") and entry.kind == "file":
                certificates[entry.path] = entry.content
            else:
                yield entry
    bundle = b"".join(certificates[name] for name in sorted(certificates))
    yield Entry("etc/ssl/certs/ca-certificates.crt", 0o644, content=bundle)
    yield Entry("usr/bin/python3", 0o777, kind="link", target="python3.11")
    name, number = recipe["user"]["name"], recipe["user"]["id"]
    home = recipe["config"]["WorkingDir"]
    users = f"root:x:0:0:root:/root:/\n{name}:x:{number}:{number}:{name}:{home}:/\n"
    yield Entry("etc/passwd", 0o644, content=users.encode())
    yield Entry("etc/group", 0o644, content=f"root:x:0:\n{name}:x:{number}:\n".encode())
    yield Entry("tmp", 0o1777, kind="directory")
    yield Entry(home.removeprefix("/"), 0o700, kind="directory", owner=number)


def _packages(recipe: dict[str, Any], work: Path, epoch: int) -> Iterator[Entry]:
    folder = work / "packages"
    if not folder.exists():
        _install(folder, epoch, "--require-hashes", "-r", str(_ROOT / "requirements/run.txt"))
        _compile(folder)
    data = folder / "botocore/data"
    services = set(recipe["python"]["botocore_services"])
    left_out = tuple(recipe["python"]["left_out"])
    for path in sorted(folder.rglob("*")):
        top = path.relative_to(folder).parts[0]
        if top in left_out or top.startswith(("pip-", "setuptools-")):
            continue
        is_of_service = data in path.parents and path.parent != data
        if is_of_service and path.relative_to(data).parts[0] not in services:
            continue
        if path.is_file() and path.name not in _OF_THE_INSTALLATION:
            yield _file(recipe, folder, path)


def _own(recipe: dict[str, Any], wheel: Path, work: Path, epoch: int) -> Iterator[Entry]:
    folder = work / f"own-{hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        _install(folder, epoch, "--no-deps", str(wheel))
        _compile(folder)
    for path in sorted(folder.rglob("*")):
        is_wanted = path.is_file() and path.name not in _OF_THE_INSTALLATION
        if is_wanted and path.relative_to(folder).parts[0] not in {"bin", "share"}:
            yield _file(recipe, folder, path)
    for name in ("ecrate", "ecrate-healthcheck"):
        yield Entry(f"usr/bin/{name}", 0o755, content=(_FOLDER / name).read_bytes())


def _file(recipe: dict[str, Any], folder: Path, path: Path) -> Entry:
    name = f"{recipe['python']['folder']}/{path.relative_to(folder)}"
    return Entry(name, 0o644, content=path.read_bytes())


def _install(folder: Path, epoch: int, *words: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [
            *(str(uv), "pip", "install", "--quiet", "--python", sys.executable, "--target"),
            *(str(folder), "--only-binary", ":all:", "--link-mode", "copy", *words),
        ],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
    )


def _compile(folder: Path) -> None:
    # By hash and unchecked: layers keep no modification time that a check could rely on.
    subprocess.run(
        [
            *(sys.executable, "-m", "compileall", "-q", "-s", str(folder)),
            *("-p", "/usr/lib/python3/dist-packages", "--invalidation-mode", "unchecked-hash"),
            str(folder),
        ],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def _config(recipe: dict[str, Any], layers: list[Layer], created: str) -> dict[str, Any]:
    number = recipe["user"]["id"]
    labels = {
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "ecrate",
        "org.opencontainers.image.version": __version__,
    }
    return {
        "created": created,
        "architecture": _MACHINES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {**recipe["config"], "User": f"{number}:{number}", "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [
            {"created": created, "created_by": f"packaging/image/recipe.toml: {what}"}
            for what in ("Debian", "Python packages", "ecrate")
        ],
    }


def _manifest(config: bytes, layers: list[Layer]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, config),
        "layers": [_descriptor(_LAYER, layer.content) for layer in layers],
    }


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _dumped(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
