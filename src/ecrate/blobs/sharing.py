"""Two files that have the same bytes on disk, where the filesystem can do that."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

# Source: linux/fs.h, FICLONE; ioctl_ficlone(2).
_FICLONE: Final = 0x40049409


def share(source: Path, target: Path) -> bool:
    """Make `target`, which is not there, a file of the source's bytes without reading them.

    A clone where the filesystem has them, which is a file of its own, else a hard link: so the
    source must be a file that nobody changes. False where neither can be made.
    """
    return _clone(source, target) or _link(source, target)


def _clone(source: Path, target: Path) -> bool:
    with source.open("rb") as opened:
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.ioctl(made, _FICLONE, opened.fileno())
            os.fsync(made)
        except OSError:
            target.unlink()
            return False
        finally:
            os.close(made)
    return True


def _link(source: Path, target: Path) -> bool:
    # Another filesystem, too many links, or somebody else's file that is not to be linked.
    with contextlib.suppress(OSError):
        target.hardlink_to(source)
        with target.open("rb") as opened:
            os.fsync(opened.fileno())
        return True
    return False
