"""The layers of S1, held by import-linter; the contracts are in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the project in `tree`, whichever ecrate is installed."""
    command = "from importlinter.cli import lint_imports_command as main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_layers_hold() -> None:
    checked = lint_imports(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert " 0 broken" in checked.stdout


@pytest.mark.parametrize(
    ("module", "statement", "complaint"),
    [
        pytest.param("misc.py", "", "ecrate.misc", id="unplaced-module"),
        pytest.param(
            "operations/wrong.py",
            "import ecrate.aws",
            "ecrate.operations.wrong -> ecrate.aws",
            id="upwards",
        ),
        pytest.param(
            "operations/wrong.py",
            "import ecrate.store.sqlite",
            "ecrate.operations.wrong -> ecrate.store.sqlite",
            id="driver",
        ),
        pytest.param(
            "domain/wrong.py", "import sqlite3", "ecrate.domain.wrong -> sqlite3", id="sql-in-core"
        ),
    ],
)
def test_layers_refuse(tmp_path: Path, module: str, statement: str, complaint: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = shutil.copytree(ROOT / "src/ecrate", tmp_path / "src/ecrate")
    (package / module).write_text(statement + "\n")

    checked = lint_imports(tmp_path)

    assert checked.returncode == 1
    assert complaint in checked.stdout
