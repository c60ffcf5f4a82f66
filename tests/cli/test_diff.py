"""`ecrate diff`: layers and files, with what image layers can do to each other."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
import tarfile
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.pushed import image_of, push, tar
from tests.support.images import Blob, MadeImage
from tests.support.server import Server

_BASE = tar({"etc": None, "etc/a": b"1", "etc/b": b"22", "dir": None, "dir/x": b"", "l": "etc/a"})


def _diff(run: Run, server: Server, repository: str, *images: MadeImage) -> tuple[int, Any]:
    for tag, image in zip("ab", images, strict=True):
        push(server, repository, image, tag)
    ran = run("diff", f"{repository}:a", f"{repository}:b", "--json")
    return ran.code, json.loads(ran.out or ran.err)


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        pytest.param({"etc/c": b"3"}, {"/etc/c": "added"}, id="new file"),
        pytest.param({"etc/a": b"2"}, {"/etc/a": "changed"}, id="other content"),
        pytest.param({"etc/.wh.a": b""}, {"/etc/a": "removed"}, id="whiteout"),
        pytest.param({"etc/a": b"1"}, {}, id="the same again"),
        pytest.param({"./etc/a": b"1"}, {}, id="with a dot"),
        pytest.param({"l": "etc/b"}, {"/l": "changed"}, id="link elsewhere"),
        pytest.param({".wh.dir": b""}, {"/dir": "removed", "/dir/x": "removed"}, id="folder"),
        pytest.param(
            {"etc/.wh..wh..opq": b"", "etc/n": b""},
            {"/etc/a": "removed", "/etc/b": "removed", "/etc/n": "added"},
            id="opaque",
        ),
        pytest.param(
            {"dir": b"file"}, {"/dir": "changed", "/dir/x": "removed"}, id="file for a folder"
        ),
    ],
)
def test_diff_lays_layers_over_each_other(
    run: Run,
    server: Server,
    repository: str,
    *,
    upper: dict[str, bytes | str | None],
    expected: dict[str, str],
) -> None:
    code, told = _diff(run, server, repository, image_of(_BASE), image_of(_BASE, tar(upper)))

    assert code == 1
    assert {each["path"]: each["change"] for each in told["files"]} == expected
    assert [len(told["layers"][name]) for name in ("shared", "onlyA", "onlyB")] == [1, 0, 1]


def test_diff_tells_people_what_changed(run: Run, server: Server, repository: str) -> None:
    push(server, repository, image_of(_BASE, Cmd=["a"]), "a")
    push(server, repository, image_of(tar({"etc/a": b"123"}), Cmd=["b"]), "b")

    lines = run("diff", f"{repository}:a", f"{repository}:b").out.splitlines()

    assert "layers in both: 0" in lines
    assert "~ Cmd: ['a'] -> ['b']" in lines
    assert "~ /etc/a  1 B -> 3 B (size, content)" in lines
    assert "- /etc/b  2 B" in lines


def test_diff_of_the_same_is_quiet(run: Run, server: Server, repository: str) -> None:
    push(server, repository, image_of(_BASE), "a", "b")

    ran = run("diff", f"{repository}:a", f"{repository}:b", "--quiet")

    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_diff_does_not_mind_compression(run: Run, server: Server, repository: str) -> None:
    tars = tar({"a": b"1" * 5000})

    code, told = _diff(run, server, repository, image_of(tars, level=1), image_of(tars, level=9))

    assert (code, told["same"]) == (0, True)
    assert len(told["layers"]["shared"]) == 1


def test_diff_reads_zstd_layers(run: Run, server: Server, repository: str) -> None:
    packed = MadeImage(image_of().config, (Blob(_zstd(tar({"a": b"1", "b": b"2"}))),))
    for tag, image in (("a", image_of(tar({"a": b"1"}))), ("b", packed)):
        push(server, repository, image, tag)

    told = json.loads(run("diff", f"{repository}:a", f"{repository}:b", "--json").out)

    assert [(each["path"], each["change"]) for each in told["files"]] == [("/b", "added")]


def _zstd(content: bytes) -> bytes:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    packed: bytes = importlib.import_module(name).compress(content)
    return packed


def test_diff_of_layers_only(run: Run, server: Server, repository: str) -> None:
    for tag, image in (("a", image_of(_BASE)), ("b", image_of(tar({"z": b""})))):
        push(server, repository, image, tag)

    told = json.loads(run("diff", f"{repository}:a", f"{repository}:b", "--layers", "--json").out)

    assert told["files"] == []
    assert len(told["layers"]["onlyB"]) == 1


def _with_a_long_header() -> bytes:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    return gzip.compress(header.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        pytest.param(b"no archive at all", "is no tar archive", id="no archive"),
        pytest.param(gzip.compress(_BASE)[:100], "is no tar archive", id="cut off"),
        pytest.param(_with_a_long_header(), "a header of 1099511627776 bytes", id="bomb"),
    ],
)
def test_diff_of_what_is_no_archive_says_so(
    run: Run, server: Server, repository: str, *, layer: bytes, text: str
) -> None:
    odd = MadeImage(image_of().config, (Blob(layer),))
    for tag, image in (("a", image_of(_BASE)), ("b", odd)):
        push(server, repository, image, tag)

    ran = run("diff", f"{repository}:a", f"{repository}:b")

    assert (ran.code, ran.out) == (255, "")
    assert text in ran.err
