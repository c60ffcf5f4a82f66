"""What a release is built from: a commit, with the times and modes that it has for everyone."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from ecrate import __version__
from tools.release.__main__ import main
from tools.release.tree import changes, commit_time, export, repack, write_tar

EPOCH = 1_700_000_000


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one commit, made at a known time."""
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "me")
        monkeypatch.setenv(f"{name}_EMAIL", "me@example.com")
        monkeypatch.setenv(f"{name}_DATE", f"{EPOCH} +0000")
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "script").write_text("#!/bin/sh\n")
    (folder / "script").chmod(0o700)
    (folder / "text").write_text("hello\n")
    (folder / "text").chmod(0o600)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "All")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_time_is_that_of_the_commit_unless_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert commit_time(tree) == EPOCH

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert commit_time(tree) == 5


def test_export_has_what_is_committed_with_plain_modes(tree: Path, tmp_path: Path) -> None:
    (tree / "other").write_text("not added")

    export(tree, tmp_path / "out", EPOCH)

    found = {
        path.name: (path.stat().st_mode & 0o777, path.stat().st_mtime)
        for path in (tmp_path / "out").iterdir()
    }
    assert found == {"script": (0o755, EPOCH), "text": (0o644, EPOCH)}


def test_release_is_refused_while_something_is_not_committed(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert changes(tree) == ""
    (tree / "other").write_text("not added")
    monkeypatch.setattr("tools.release.__main__._ROOT", tree)

    assert main([str(tree / "dist")]) == 1

    assert "?? other" in capsys.readouterr().err
    assert not (tree / "dist").exists()


def test_archive_is_packed_again_without_what_differs(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("2")
    (tmp_path / "a").write_text("1")
    theirs, ours = tmp_path / "theirs.tar.gz", tmp_path / "ours.tar.gz"
    with tarfile.open(theirs, "w:gz") as archive:
        for name in ("b", "a"):
            os.utime(tmp_path / name, (1, 1))
            archive.add(tmp_path / name, name)

    repack(theirs, EPOCH)

    write_tar(ours, [("a", b"1", 0o644), ("b", b"2", 0o644)], EPOCH)
    assert theirs.read_bytes() == ours.read_bytes()


def test_version_has_one_place() -> None:
    root = Path(__file__).parents[2]
    listed = subprocess.run(
        ["git", "-C", str(root), "grep", "-lF", __version__, "--", ".", ":!requirements"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()

    assert [name for name in listed if not name.startswith(("tests/", "docs/"))] == [
        "src/ecrate/__init__.py"
    ]
