"""The Helm chart, with the version that ecrate itself has."""

from __future__ import annotations

from pathlib import Path

from ecrate import __version__
from tools.release.tree import plain_mode, write_tar

_CHART = Path(__file__).parents[2] / "packaging/helm/ecrate"


def build_chart(folder: Path, epoch: int) -> Path:
    """Write the chart's archive and give its path. The 0.0.0 in Chart.yaml becomes ecrate's."""
    files = []
    for path in sorted(_CHART.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "Chart.yaml":
                content = content.replace(b"0.0.0", __version__.encode())
            name = f"ecrate/{path.relative_to(_CHART)}"
            files.append((name, content, plain_mode(path.stat().st_mode)))
    archive = folder / f"ecrate-chart-{__version__}.tgz"
    write_tar(archive, files, epoch)
    return archive
