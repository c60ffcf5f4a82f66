"""Events that two nodes publish and follow at once, as where one of them woke up after its lease
had passed to the other: in every order of their steps each is told once, and in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from ecrate.domain.events import Event
from ecrate.domain.names import RepositoryRef
from ecrate.operations.events import follow_events, publish_events
from ecrate.store.database import Transaction
from tests.support.core import Bench
from tests.support.images import MadeImage, make_image
from tests.support.interleaving import BOTH, Outcomes, Scenario, Stage, explore

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Telling:
    """A repository with an image, of which a tag was told, and what a reader was told."""

    ref: RepositoryRef
    image: MadeImage = field(default_factory=lambda: make_image(10))
    told: list[str] = field(default_factory=list)

    def take(self, _: Transaction, events: Sequence[Event]) -> None:
        self.told.extend(str(event.detail["image-tag"]) for event in events)


def pushed(bench: Bench) -> Telling:
    """v1 is not published yet."""
    telling = Telling(bench.create("one"))
    bench.push(telling.ref, telling.image, "v1")
    return telling


def followed(bench: Bench) -> Telling:
    """v1 is not published yet, and a reader waits."""
    telling = pushed(bench)
    follow(bench, telling)
    return telling


def waiting(bench: Bench) -> Telling:
    """A reader has come so far, and v1 and v2 are published."""
    telling = followed(bench)
    bench.put(telling.ref, telling.image.manifest, ["v2"])
    publish(bench, telling)
    return telling


def published(bench: Bench) -> Telling:
    """v1 is published, and nobody has read so far."""
    telling = pushed(bench)
    publish(bench, telling)
    return telling


def publish(bench: Bench, _: Telling) -> None:
    publish_events(bench.core)


def follow(bench: Bench, telling: Telling) -> None:
    while follow_events(bench.core, "a reader", telling.take):
        pass


def push_and_tell(bench: Bench, telling: Telling) -> None:
    bench.put(telling.ref, telling.image.manifest, ["v2"])
    tell(bench, telling)


def begin_and_push(bench: Bench, telling: Telling) -> None:
    """Be the reader that begins, so that what comes next has to be told."""
    follow(bench, telling)
    push_and_tell(bench, telling)


def tell(bench: Bench, telling: Telling) -> None:
    publish(bench, telling)
    follow(bench, telling)


def are_untold(bench: Bench, telling: Telling, _: Outcomes) -> Iterator[str]:
    """Have the rest told; all has to be told once by then, and in order."""
    tell(bench, telling)
    if telling.told != ["v1", "v2"]:
        yield f"told were {telling.told}"


def is_new_one_untold(bench: Bench, telling: Telling, _: Outcomes) -> Iterator[str]:
    """The same for a reader who began after v1 and before v2."""
    tell(bench, telling)
    if telling.told != ["v2"]:
        yield f"told were {telling.told}"


SCENARIOS = {
    "publish": Scenario(followed, publish, push_and_tell, {BOTH}, are_untold),
    "follow": Scenario(waiting, follow, follow, {BOTH}, are_untold, are_alike=True),
    "begin": Scenario(published, follow, begin_and_push, {BOTH}, is_new_one_untold),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_event_is_told_once_and_in_order(stage: Stage, name: str) -> None:
    assert [*explore(stage, SCENARIOS[name])] == []
