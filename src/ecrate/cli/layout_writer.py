"""Writing OCI layouts, as a directory or as a tar archive that `docker load` takes as well.

A new layout grows in a directory beside its place, which gets its name when all is there:

    .NAME.XXXX.partial/
      oci-layout
      index.json
      blobs/sha256/...          whole and verified; *.part while they come

To a layout that exists already, blobs are added, and last the index that names them.
"""

from __future__ import annotations

import json
import platform
import secrets
import shutil
import tarfile
from pathlib import Path
from typing import Any, Final, Self

from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.layout import IMAGE_NAME, REFERENCE_NAME, blob_path
from ecrate.cli.manifests import OCI_INDEX

_VERSION: Final = '{"imageLayoutVersion":"1.0.0"}'
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class LayoutWriter:
    """A layout being written; a context manager that leaves nothing behind on an error."""

    def __init__(self, destination: Path) -> None:
        """Raise `CommandError` where `destination` cannot be written or must not be."""
        self._destination = destination
        self._is_tar = destination.suffix == ".tar"
        self._is_added = not self._is_tar and (destination / "oci-layout").is_file()
        if self._is_tar and destination.is_dir():
            raise CommandError(f"{destination} is a directory, not a tar archive", BAD_COMMAND)
        if not self._is_tar and not self._is_added and _is_used(destination):
            raise CommandError(
                f"{destination} is there already and no OCI layout; give another name, or one "
                "that ends in .tar for an archive",
                BAD_COMMAND,
            )
        self._root = destination
        if not self._is_added:
            # Made when first written to, inside of the `with`, so that no signal can leave it.
            name = f".{destination.name}.{secrets.token_hex(4)}.partial"
            self._root = destination.with_name(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_added:
            shutil.rmtree(self._root, ignore_errors=True)

    def path(self, digest: str) -> Path:
        """Give where a blob belongs; its directory exists."""
        path = self._root / blob_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, digest: str, content: bytes) -> None:
        """Write a manifest, whose digest was checked."""
        part = self.path(digest).with_suffix(".part")
        part.write_bytes(content)
        part.replace(self.path(digest))

    def finish(self, descriptor: dict[str, Any], *, tag: str | None, name: str) -> None:
        """Name the image in the index, and give the layout its place."""
        if tag is not None:
            descriptor = {**descriptor, "annotations": {IMAGE_NAME: name, REFERENCE_NAME: tag}}
        _replace(self._root / "oci-layout", _VERSION)
        _replace(self._root / "index.json", json.dumps(self._index(descriptor), indent=2))
        if self._is_tar:
            self._write_tar(descriptor, name if tag is not None else None)
        elif not self._is_added:
            if self._destination.is_dir():
                self._destination.rmdir()
            self._root.rename(self._destination)

    def _index(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        if self._is_added:
            index = json.loads((self._root / "index.json").read_text())
        tag = descriptor.get("annotations", {}).get(REFERENCE_NAME)
        others = [
            each
            for each in index["manifests"]
            if (each.get("annotations") or {}).get(REFERENCE_NAME) != tag
            or (tag is None and each["digest"] != descriptor["digest"])
        ]
        return {**index, "manifests": [*others, descriptor]}

    def _write_tar(self, descriptor: dict[str, Any], name: str | None) -> None:
        manifest = self._docker_manifest(descriptor, name)
        if manifest is not None:
            _replace(self._root / "manifest.json", json.dumps([manifest]))
        part = self._root.with_suffix(".tar")
        try:
            with tarfile.open(part, "w") as archive:
                first = ["oci-layout", "index.json", "manifest.json"]
                blobs = sorted(self._root.glob("blobs/*/*"))
                for path in [*(self._root / each for each in first), *blobs]:
                    if path.exists():
                        archive.add(path, str(path.relative_to(self._root)), filter=_anonymous)
            part.replace(self._destination)
        finally:
            part.unlink(missing_ok=True)

    def _docker_manifest(
        self, descriptor: dict[str, Any], name: str | None
    ) -> dict[str, Any] | None:
        """Describe the image for `docker load`: of an index the one for this machine."""
        body = json.loads(self.path(descriptor["digest"]).read_bytes())
        if "manifests" in body:
            machine = _MACHINES.get(platform.machine(), platform.machine())
            children = [
                each
                for each in body["manifests"]
                if (each.get("platform") or {}).get("architecture") == machine
            ]
            return self._docker_manifest(children[0], name) if children else None
        if not isinstance(body.get("config"), dict):
            return None
        return {
            "Config": blob_path(body["config"]["digest"]),
            "RepoTags": [name] if name else None,
            "Layers": [blob_path(each["digest"]) for each in body.get("layers", [])],
        }


def _is_used(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o644
    return member
