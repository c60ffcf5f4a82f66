"""Disks that tests fill up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ballast:
    """A file that takes room from all others on the filesystem of the folder `root`."""

    root: Path

    @property
    def free(self) -> int:
        told = os.statvfs(self.root)
        return told.f_bavail * told.f_bsize

    def fill(self, *, but: int) -> None:
        """Leave `but` bytes free."""
        with (self.root / "ballast").open("ab") as ballast:
            if self.free > but:
                os.posix_fallocate(ballast.fileno(), ballast.tell(), self.free - but)

    def clear(self) -> None:
        (self.root / "ballast").unlink()
