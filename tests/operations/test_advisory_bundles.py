"""Advisories on their way to another server, as bundles carry them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ecrate.domain.errors import ImportRefused
from ecrate.operations.advisories import export_advisories, import_advisories, take_advisories
from tests.support.core import Bench


def test_advisories_are_carried_to_another_server(tmp_path: Path) -> None:
    with (
        closing(Bench(_folder(tmp_path, "one"))) as one,
        closing(Bench(_folder(tmp_path, "two"))) as two,
    ):
        import_advisories(one.core, "feed", [("a", _document("A-1")), ("b", _document("A-2"))])
        with one.reading() as tx:
            before = list(export_advisories(tx))
        taken = take_advisories(two.core, "a bundle", [["+", *row] for row in before])

        removed = take_advisories(two.core, "the next", [["-", "A-1"]])

        with two.reading() as tx:
            after = list(export_advisories(tx))
    assert [id_ for id_, _ in before] == ["A-1", "A-2"]
    assert (taken.new, removed.removed) == (2, 1)
    assert after == before[1:]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(["+", "A-1", "{}"], "not as it was exported", id="no document"),
        pytest.param(["+", "A-1"], "not as it was exported", id="too short"),
        pytest.param(
            ["+", "A-1", '["A-2", 0.0, "{\\"id\\":\\"A-2\\",\\"modified\\":0.0}", []]'],
            "names itself 'A-2'",
            id="another id",
        ),
    ],
)
def test_advisory_that_was_not_exported_so_is_refused(
    bench: Bench, change: list[object], told: str
) -> None:
    with pytest.raises(ImportRefused, match=told):
        take_advisories(bench.core, "a bundle", [change])


def _folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def _document(id_: str) -> bytes:
    document = {
        "id": id_,
        "modified": "2024-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "one"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
    }
    return json.dumps(document).encode()
