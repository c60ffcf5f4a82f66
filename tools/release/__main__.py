"""`python -m tools.release [DIR]`: build all that a release consists of, in dist/ or DIR.

Wheel, sdist, image and chart, and SHA256SUMS of them. The same commit gives the same bytes, with
the same Debian packages at the mirror. SOURCE_DATE_EPOCH sets the time in them, otherwise the
commit's.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from ecrate import __version__
from tools.release.chart import build_chart
from tools.release.image import build_image
from tools.release.python import build_python
from tools.release.tree import changes, commit_time, export

_ROOT = Path(__file__).parents[2]


def main(words: list[str]) -> int:
    """Build, and list what came out."""
    if dirty := changes(_ROOT):
        print(f"a release is a commit, and these are in none:\n{dirty}", file=sys.stderr)
        return 1
    folder = Path(words[0]).absolute() if words else _ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    epoch = commit_time(_ROOT)
    with tempfile.TemporaryDirectory() as path:
        work = Path(path)
        export(_ROOT, work / "tree", epoch)
        _, wheel = build_python(work / "tree", folder, epoch)
        image_work = work / "image"
        image_work.mkdir()
        build_image(wheel, folder / f"ecrate-{__version__}.image.tar", image_work, epoch)
    build_chart(folder, epoch)
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    )
    (folder / "SHA256SUMS").write_text(sums)
    print(sums, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
