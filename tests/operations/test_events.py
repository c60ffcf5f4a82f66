from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from ecrate.domain.events import Event
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.operations import deletions, images
from ecrate.operations.core import Limits
from ecrate.operations.events import follow_events, publish_events, read_events
from ecrate.store.database import Transaction
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import make_image
from tests.support.lifecycle_bench import ARCHIVE_WEEK_OLD, WEEK_OLD, push, run_in_an_hour


class Reader:
    """Keeps what it was given."""

    def __init__(self, bench: Bench) -> None:
        self.events: list[Event] = []
        self._core = bench.core
        self.read()

    def take(self, _: Transaction, events: Sequence[Event]) -> None:
        self.events += events

    def read(self) -> list[Event]:
        """Publish and read everything there is; give what came."""
        count = len(self.events)
        while publish_events(self._core):
            pass
        while follow_events(self._core, "a reader", self.take):
            pass
        return self.events[count:]


@pytest.fixture
def reader(bench: Bench) -> Reader:
    return Reader(bench)


def told(events: Sequence[Event], *members: str) -> list[tuple[object, ...]]:
    names = ("action-type", *members)
    return [tuple(event.detail.get(name) for name in names) for event in events]


def test_push_is_told_once_a_tag(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    image = make_image(10)
    digest = bench.push(one, image, "v1", "v2")

    events = reader.read()

    assert told(events, "image-tag") == [("PUSH", "v1"), ("PUSH", "v2")]
    assert events[0].envelope() == {
        "version": "0",
        "id": events[0].id,
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": "123456789012",
        "time": "2023-11-14T22:13:20Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "result": "SUCCESS",
            "repository-name": "one",
            "image-digest": digest.text,
            "action-type": "PUSH",
            "image-tag": "v1",
            "manifest-media-type": "application/vnd.oci.image.manifest.v1+json",
            "artifact-media-type": "application/vnd.oci.image.config.v1+json",
        },
    }
    assert events[0].id != events[1].id
    assert events[0].actor == bench.caller.arn


def test_push_without_a_tag_is_told_without_one(
    bench: Bench, one: RepositoryRef, reader: Reader
) -> None:
    bench.push(one, make_image(10))

    (event,) = reader.read()

    assert "image-tag" not in event.detail


def test_tag_that_moves_is_told_alone(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    image = make_image(10)
    bench.push(one, image, "v1")
    reader.read()

    bench.put(one, image.manifest, ["v1", "v2"])

    assert told(reader.read(), "image-tag") == [("PUSH", "v2")]


def test_push_that_fails_is_not_told(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    image = make_image(10)
    bench.push(one, image, "v1")
    reader.read()

    with pytest.raises(Exception, match="already exists"):
        bench.put(one, image.manifest, ["v1"])

    assert reader.read() == []


def test_referrer_is_told_as_one(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    subject = push(bench, one, "v1")
    push(bench, one, subject=subject)

    events = reader.read()

    assert [event.kind for event in events] == ["ECR Image Action", "ECR Referrer Action"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        pytest.param("tag", [("DELETE", "v1")], id="one of two tags"),
        pytest.param("digest", [("DELETE", "v1"), ("DELETE", "v2")], id="whole"),
    ],
)
@pytest.mark.parametrize("kept", [DAY, 0.0], ids=["trash", "no trash"])
def test_delete_is_told_once_a_tag(
    make_bench: Callable[..., Bench], named: str, expected: list[tuple[str, str]], kept: float
) -> None:
    bench = make_bench(limits=Limits(trash_kept=kept))
    one, reader = bench.create(), Reader(bench)
    digest = bench.push(one, make_image(10), "v1", "v2")
    reader.read()

    image_id = ImageId(tag="v1") if named == "tag" else ImageId(digest)
    deletions.batch_delete_image(bench.core, bench.caller, one, [image_id])

    assert told(reader.read(), "image-tag") == expected


def test_delete_of_an_untagged_image_is_told(
    bench: Bench, one: RepositoryRef, reader: Reader
) -> None:
    digest = bench.push(one, make_image(10))
    reader.read()

    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(digest)])

    assert told(reader.read(), "image-tag", "image-digest") == [("DELETE", None, digest.text)]


def test_removed_tag_is_told(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    bench.push(one, make_image(10), "v1")
    reader.read()

    deletions.delete_tag(bench.core, bench.caller, one, "v1")

    assert told(reader.read(), "image-tag") == [("DELETE", "v1")]


def test_storage_classes_are_told(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    digest = bench.push(one, make_image(10), "v1")
    reader.read()

    for is_archive in (True, True, False):
        images.update_image_storage_class(
            bench.core, bench.caller, one, ImageId(digest), is_archive=is_archive
        )

    assert told(reader.read(), "target-storage-class", "last-activated-at") == [
        ("UPDATE_STORAGE_CLASS", "ARCHIVE", None),
        ("UPDATE_STORAGE_CLASS", "STANDARD", "2023-11-14T22:13:21Z"),
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(WEEK_OLD, ("DELETE", None), id="expire"),
        pytest.param(ARCHIVE_WEEK_OLD, ("UPDATE_STORAGE_CLASS", "ARCHIVE"), id="archive"),
    ],
)
def test_lifecycle_policy_tells_what_it_does(
    bench: Bench, one: RepositoryRef, reader: Reader, rule: object, expected: tuple[str, str | None]
) -> None:
    push(bench, one)
    bench.clock.advance(8 * DAY)
    reader.read()

    run_in_an_hour(bench, one, rule)

    events = reader.read()
    assert told(events, "target-storage-class") == [expected]
    assert [event.actor for event in events] == ["lifecycle"]


def test_reader_gets_each_event_once_and_in_order(
    bench: Bench, one: RepositoryRef, reader: Reader
) -> None:
    image = make_image(10)
    bench.push(one, image)
    tags = [str(number) for number in range(600)]
    bench.put(one, image.manifest, tags)

    came = [event.detail.get("image-tag") for event in reader.read()]

    assert came == [None, *tags]
    assert [event.position for event in reader.events] == sorted(
        {event.position for event in reader.events}
    )


def test_reader_that_fails_gets_the_same_events_again(
    bench: Bench, one: RepositoryRef, reader: Reader
) -> None:
    bench.push(one, make_image(10), "v1")
    publish_events(bench.core)

    def fail(_: Transaction, __: Sequence[Event]) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        follow_events(bench.core, "a reader", fail)

    assert told(reader.read(), "image-tag") == [("PUSH", "v1")]


def test_new_reader_begins_with_what_comes(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10), "before")
    publish_events(bench.core)
    late = Reader(bench)

    bench.push(one, make_image(20), "after")

    assert told(late.read(), "image-tag") == [("PUSH", "after")]


def test_old_events_are_forgotten(bench: Bench, one: RepositoryRef, reader: Reader) -> None:
    bench.push(one, make_image(10), "old")
    reader.read()
    bench.clock.advance(7 * DAY - HOUR)
    bench.push(one, make_image(20), "new")
    reader.read()

    bench.clock.advance(2 * HOUR)
    publish_events(bench.core)

    with bench.reading() as tx:
        kept = [json.loads(row[0])["image-tag"] for row in tx.all("SELECT detail FROM events")]
    assert kept == ["new"]


def test_servers_own_reader_begins_with_the_first_event(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10), "v1")
    found: list[Event] = []
    publish_events(bench.core)

    while follow_events(bench.core, "own", lambda _, events: found.extend(events), from_first=True):
        pass

    assert told(found, "image-tag") == [("PUSH", "v1")]


def test_event_stays_until_all_readers_are_done_with_it(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10), "v1")
    publish_events(bench.core)
    follow_events(bench.core, "slow", lambda _, __: None, from_first=True)
    bench.clock.advance(8 * DAY)
    publish_events(bench.core)
    kept = read_events(bench.core, bench.caller, one.registry, after=0).events
    bench.clock.advance(21 * DAY)
    publish_events(bench.core)

    assert len(kept) == 1
    assert read_events(bench.core, bench.caller, one.registry, after=0).events == []
