"""The sdist, and the wheel made of it, man pages included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools import man
from tools.release.tree import repack


def build_python(tree: Path, folder: Path, epoch: int) -> tuple[Path, Path]:
    """Write sdist and wheel of an exported tree to `folder` and give their paths.

    The tree gets the man pages.
    """
    man.main([str(tree / "man")])
    _build(tree, folder, "--sdist", epoch=epoch)
    (sdist,) = folder.glob("*.tar.gz")
    repack(sdist, epoch)
    _build(sdist, folder, "--wheel", epoch=epoch)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def _build(source: Path, folder: Path, kind: str, *, epoch: int) -> None:
    # No isolation: the build backend is among the pinned requirements, and nothing is fetched.
    subprocess.run(
        [
            *(Path(sys.executable).with_name("uv"), "build", "--quiet", "--offline", kind),
            *("--no-build-isolation", "--python", sys.executable),
            *("--out-dir", folder, "--no-create-gitignore", source),
        ],
        check=True,
        umask=0o022,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "VIRTUAL_ENV": sys.prefix},
    )
