"""A commit whose answer is lost on its way: it counts as failed, and trying again is harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecrate.domain.errors import EcrateError, StoreUnavailable
from ecrate.operations.collection import collect
from tests.support.audit import audit_rows
from tests.support.core import Bench
from tests.support.postgres import Postgres
from tests.support.postgres_proxy import Proxy, running_proxy
from tests.support.scenes import (
    CONTENT,
    DIGEST,
    Scene,
    begin,
    complete,
    delete,
    delete_all,
    empty,
    lacks,
    lapsed,
    layered,
    mount,
    pushed,
    remains,
    uploading,
)

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Line:
    """A node whose connections go through a proxy, and one whose do not."""

    node: Bench
    other: Bench
    proxy: Proxy


@pytest.fixture
def line(postgres: Postgres, tmp_path: Path) -> Iterator[Line]:
    with ExitStack() as opened:
        url = opened.enter_context(postgres.prepared())
        proxy = opened.enter_context(running_proxy(postgres.socket))
        node, other = Bench(tmp_path, proxy.url(url)), Bench(tmp_path, url)
        opened.callback(other.close)
        opened.callback(node.close)
        yield Line(node, other, proxy)


def lose_then_repeat(line: Line, deed: Callable[[], object]) -> None:
    """Do it with its commit lost, then again; the second time it may say that it was done."""
    line.proxy.loses_commits = True
    with pytest.raises(StoreUnavailable):
        deed()
    line.proxy.loses_commits = False
    with suppress(EcrateError):
        deed()


@pytest.mark.parametrize(
    ("arrange", "deed", "look"),
    [
        pytest.param(
            uploading,
            lambda bench, scene: complete(bench, scene.one, scene.upload_id),
            lambda bench, scene: lacks(bench, scene.one, DIGEST),
            id="complete",
        ),
        pytest.param(
            layered,
            lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
            lambda bench, scene: [] if len(bench.images(scene.one)) == 1 else ["no image"],
            id="put",
        ),
        pytest.param(
            layered, mount, lambda bench, scene: lacks(bench, scene.two, scene.layer), id="mount"
        ),
        pytest.param(
            pushed,
            lambda bench, scene: delete(bench, scene.one, scene.image_id),
            lambda bench, scene: bench.images(scene.one),
            id="delete",
        ),
        pytest.param(
            layered,
            lambda bench, scene: delete_all(bench, scene.one),
            lambda bench, _: remains(bench),
            id="delete-repository",
        ),
        pytest.param(
            lapsed,
            lambda bench, _: collect(bench.core),
            lambda bench, _: remains(bench),
            id="collect",
        ),
        pytest.param(
            empty,
            lambda bench, scene: begin(bench, scene.one),
            lambda bench, _: remains(bench),
            id="begin",
        ),
    ],
)
def test_deed_whose_commit_was_lost_can_be_repeated(
    line: Line,
    arrange: Callable[[Bench], Scene],
    deed: Callable[[Bench, Scene], object],
    look: Callable[[Bench, Scene], Iterable[object]],
) -> None:
    scene = arrange(line.other)
    line.node.clock.now = line.other.clock.now

    lose_then_repeat(line, lambda: deed(line.node, scene))

    with line.other.reading() as tx:
        assert [*audit_rows(tx.all, line.other.folder)] == []
    assert [*look(line.other, scene)] == []
    assert line.proxy.lost == 1


def test_part_whose_commit_was_lost_is_kept(line: Line) -> None:
    scene = empty(line.other)
    upload_id = line.other.begin(scene.one)

    lose_then_repeat(line, lambda: line.node.send(scene.one, upload_id, 0, CONTENT))

    assert line.other.complete(scene.one, upload_id, DIGEST) == DIGEST
    assert line.other.read(scene.one, DIGEST) == CONTENT
