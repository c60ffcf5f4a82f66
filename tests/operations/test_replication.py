"""Replication within one server: what goes where, in which order, and how it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from ecrate.domain.events import Event
from ecrate.domain.lanes import Failure
from ecrate.domain.names import ImageId, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.replication import ReplicationRule
from ecrate.domain.repositories import TagMutability
from ecrate.domain.templates import REPLICATION, Template
from ecrate.operations import deletions, images, policies, repositories, templates
from ecrate.operations.events import publish_events, read_events
from ecrate.operations.lanes import settle_task, take_due_lanes
from ecrate.operations.replication import backfills, rules
from ecrate.operations.replication.tasks import WORK
from tests.support.core import CALLER, DAY, REGISTRY, Bench
from tests.support.images import make_image
from tests.support.policies import allow, policy
from tests.support.pushing import make_index
from tests.support.replicator import Replicator

WEST = RegistryRef(REGISTRY.id, "us-west-2")
OTHER = RegistryRef("222222222222", "us-west-2")
STRANGER = Caller("arn:aws:iam::222222222222:root", "AKIDOTHER", OTHER, is_root=True)


@pytest.fixture
def replicator(bench: Bench) -> Replicator:
    return Replicator(bench.core)


def rule(bench: Bench, *places: RegistryRef, deletes: bool | None = None, names: str = "") -> None:
    made = ReplicationRule(places or (WEST,), (names,) if names else (), deletes)
    rules.put_replication_configuration(bench.core, bench.caller, REGISTRY, [made])


def there(bench: Bench, name: str = "one", registry: RegistryRef = WEST) -> list[ImageId]:
    caller = dataclasses.replace(CALLER, registry=registry)
    if registry == OTHER:
        caller = STRANGER
    page, _ = images.list_images(
        bench.core,
        caller,
        RepositoryRef(registry, name),
        status="ANY",
        storage="ANY",
        after=None,
        limit=100,
    )
    return page


def names_there(bench: Bench, registry: RegistryRef = WEST) -> list[str]:
    caller = STRANGER if registry == OTHER else dataclasses.replace(CALLER, registry=registry)
    page = repositories.list_repositories(bench.core, caller, registry)
    return [each.ref.name for each in page.repositories]


def statuses(bench: Bench, ref: RepositoryRef, tag: str) -> list[tuple[str, str]]:
    _, found = rules.describe_image_replication_status(
        bench.core, bench.caller, ref, ImageId(tag=tag)
    )
    return [(one.status, one.failure_code) for one in found]


def events_of(bench: Bench, registry: RegistryRef = WEST) -> Sequence[Event]:
    while publish_events(bench.core):
        pass
    caller = dataclasses.replace(CALLER, registry=registry)
    return read_events(bench.core, caller, registry, after=0).events


def test_image_is_copied_with_its_bytes(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench)
    image = make_image(10)
    digest = bench.push(one, image, "v1")

    failures = replicator.run()

    assert failures == []
    assert there(bench) == [ImageId(digest, "v1")]
    assert statuses(bench, one, "v1") == [("COMPLETE", "")]
    bench.caller = dataclasses.replace(CALLER, registry=WEST)
    assert [bench.read(RepositoryRef(WEST, "one"), blob.digest) for blob in image.blobs] == [
        blob.content for blob in image.blobs
    ]


def test_index_comes_with_its_children(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    image = make_image(10)
    child = bench.push(one, image)
    replicator.run()
    rule(bench)
    digest = bench.put(one, make_index(image), ["all"])

    replicator.run()

    assert there(bench) == [ImageId(child), ImageId(digest, "all")]


def test_replication_is_told_at_the_destination(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench)
    digest = bench.push(one, make_image(10), "v1")

    replicator.run()

    event = events_of(bench)[0].envelope()
    assert event["detail-type"] == "ECR Replication Action"
    assert event["resources"] == ["arn:aws:ecr:us-west-2:123456789012:repository/one"]
    assert event["detail"] == {
        "result": "SUCCESS",
        "repository-name": "one",
        "image-digest": digest.text,
        "source-account": "123456789012",
        "action-type": "REPLICATE",
        "source-region": "us-east-1",
        "image-tag": "v1",
    }
    assert [each.kind for each in events_of(bench)[1:]] == ["ECR Image Action"]


def test_only_repositories_with_the_prefix_are_copied(bench: Bench, replicator: Replicator) -> None:
    rule(bench, names="prod/")
    for name in ("prod/a", "production", "dev/a"):
        bench.push(bench.create(name), make_image(10), "v1")

    replicator.run()

    assert names_there(bench) == ["prod/a"]


def test_what_was_replicated_goes_no_further(bench: Bench, replicator: Replicator) -> None:
    rule(bench)
    third = RegistryRef(REGISTRY.id, "eu-west-1")
    west = dataclasses.replace(CALLER, registry=WEST)
    rules.put_replication_configuration(
        bench.core, west, WEST, [ReplicationRule((third,)), ReplicationRule((REGISTRY,))]
    )
    bench.push(bench.create(), make_image(10), "v1")

    replicator.run()

    assert names_there(bench, third) == []
    assert len(bench.images(bench.ref("one"))) == 1


def test_images_that_were_there_before_stay(bench: Bench, replicator: Replicator) -> None:
    bench.push(bench.create(), make_image(10), "v1")
    replicator.run()
    rule(bench)

    replicator.run()

    assert names_there(bench) == []


def test_tag_that_moves_moves_there(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench)
    first = bench.push(one, make_image(10), "latest")
    second = bench.push(one, make_image(20), "latest")

    replicator.run()

    assert there(bench) == [ImageId(first), ImageId(second, "latest")]


def test_tag_that_is_immutable_there_stays(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench)
    first = bench.push(one, make_image(10), "v1")
    replicator.run()
    west = dataclasses.replace(CALLER, registry=WEST)
    repositories.put_image_tag_mutability(
        bench.core, west, RepositoryRef(WEST, "one"), TagMutability("IMMUTABLE")
    )
    second = bench.push(one, make_image(20), "v1")

    failures = replicator.run()

    assert failures == []
    assert there(bench) == [ImageId(first, "v1"), ImageId(second)]
    assert statuses(bench, one, "v1") == [("COMPLETE", "")]


def test_repository_is_made_by_the_destinations_template(
    bench: Bench, replicator: Replicator
) -> None:
    west = dataclasses.replace(CALLER, registry=WEST)
    template = Template("ROOT", (REPLICATION,), 0.0, 0.0, tag_mutability=TagMutability("IMMUTABLE"))
    templates.create_repository_creation_template(bench.core, west, WEST, template)
    rule(bench)
    bench.push(bench.create(), make_image(10), "v1")

    replicator.run()

    (made,) = repositories.describe_repositories(bench.core, west, [RepositoryRef(WEST, "one")])
    assert made.tag_mutability.mode == "IMMUTABLE"


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        pytest.param([], ("FAILED", "AccessDenied"), id="nothing"),
        pytest.param(["ecr:ReplicateImage"], ("FAILED", "AccessDenied"), id="no repository"),
        pytest.param(["ecr:ReplicateImage", "ecr:CreateRepository"], ("COMPLETE", ""), id="both"),
    ],
)
def test_another_account_decides_by_its_registry_policy(
    bench: Bench, replicator: Replicator, actions: list[str], status: tuple[str, str]
) -> None:
    if actions:
        document = policy(
            allow(
                *actions,
                Principal={"AWS": f"arn:aws:iam::{REGISTRY.id}:root"},
                Resource=f"arn:aws:ecr:us-west-2:{OTHER.id}:repository/*",
            )
        )
        policies.put_registry_policy(bench.core, STRANGER, document)
    rule(bench, OTHER)
    one = bench.create()
    bench.push(one, make_image(10), "v1")

    replicator.run()

    assert statuses(bench, one, "v1") == [status]
    assert names_there(bench, OTHER) == (["one"] if status[0] == "COMPLETE" else [])


def test_deletions_stay_unless_a_rule_replicates_them(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench)
    digest = bench.push(one, make_image(10), "v1")
    replicator.run()
    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(digest)])

    replicator.run()

    assert there(bench) == [ImageId(digest, "v1")]


def test_deletions_are_replicated(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench, deletes=True)
    first = bench.push(one, make_image(10), "v1", "v2")
    second = bench.push(one, make_image(20), "w1")
    replicator.run()
    before = there(bench)
    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(tag="v1")])
    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(second)])

    failures = replicator.run()

    assert failures == []
    assert before == [ImageId(first, "v1"), ImageId(first, "v2"), ImageId(second, "w1")]
    assert there(bench) == [ImageId(first, "v2")]


def test_tag_that_alone_is_removed_leaves_the_image_there(
    bench: Bench, replicator: Replicator
) -> None:
    one = bench.create()
    rule(bench, deletes=True)
    digest = bench.push(one, make_image(10), "v1")
    replicator.run()
    deletions.delete_tag(bench.core, bench.caller, one, "v1")

    replicator.run()

    assert there(bench) == [ImageId(digest)]


def test_tag_that_is_another_images_there_stays(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    rule(bench, deletes=True)
    digest = bench.push(one, make_image(10), "v1")
    replicator.run()
    bench.caller = dataclasses.replace(CALLER, registry=WEST)
    own = bench.push(RepositoryRef(WEST, "one"), make_image(30), "v1")
    bench.caller = CALLER
    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(digest)])

    replicator.run()

    assert there(bench) == [ImageId(digest), ImageId(own, "v1")]


def test_failure_that_may_pass_is_tried_again(
    bench: Bench, replicator: Replicator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.create()
    rule(bench)
    bench.push(one, make_image(10), "v1")
    busy = Failure("busy", "Busy")
    do = replicator.work.do
    monkeypatch.setattr(replicator.work, "do", lambda _: busy)
    failed = replicator.run()
    meanwhile = statuses(bench, one, "v1")
    monkeypatch.setattr(replicator.work, "do", do)
    bench.clock.advance(2)

    replicator.run()

    assert (failed, meanwhile) == ([busy], [("IN_PROGRESS", "")])
    assert statuses(bench, one, "v1") == [("COMPLETE", "")]


def test_failure_that_lasts_is_given_up(
    bench: Bench, replicator: Replicator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.create()
    rule(bench)
    bench.push(one, make_image(10), "v1")
    monkeypatch.setattr(replicator.work, "do", lambda _: Failure("busy", "Busy"))
    replicator.run()
    bench.clock.advance(DAY + 1)

    replicator.run()

    assert statuses(bench, one, "v1") == [("FAILED", "Busy")]
    assert events_of(bench)[-1].detail["result"] == "FAILED"


def backfill(bench: Bench) -> str:
    return backfills.start_replication_backfill(bench.core, bench.caller, REGISTRY, WEST).id


def state(bench: Bench, backfill_id: str) -> tuple[str, int, int, int]:
    found, _, _ = backfills.describe_replication_backfill_results(
        bench.core, bench.caller, REGISTRY, backfill_id, is_failed=None, after=0, limit=10
    )
    one = found.backfill
    return one.status, one.total, one.completed, one.failed


def test_backfill_copies_what_was_there(bench: Bench, replicator: Replicator) -> None:
    for name in ("a", "ab", "prod/x"):
        bench.push(bench.create(name), make_image(10), "v1", "v2")
    bench.push(bench.ref("ab"), make_image(20))
    replicator.run()
    rule(bench, names="a")
    backfill_id = backfill(bench)
    before = state(bench, backfill_id)

    replicator.run()
    replicator.run()

    assert before == ("PREPARING", 0, 0, 0)
    assert state(bench, backfill_id) == ("COMPLETE", 5, 5, 0)
    assert names_there(bench) == ["a", "ab"]
    assert there(bench, "ab") == bench.images(bench.ref("ab"))


def test_backfill_does_not_undo_what_came_later(bench: Bench, replicator: Replicator) -> None:
    one = bench.create()
    old = bench.push(one, make_image(10), "latest")
    replicator.run()
    rule(bench)
    backfill(bench)
    new = bench.push(one, make_image(20), "latest")

    replicator.run()

    assert ImageId(new, "latest") in there(bench)
    assert {each.digest for each in there(bench)} <= {old, new}


def test_backfill_that_is_stopped_begins_nothing_more(bench: Bench, replicator: Replicator) -> None:
    bench.push(bench.create(), make_image(10), "v1", "v2", "v3")
    replicator.run()
    rule(bench)
    backfill_id = backfill(bench)
    replicator.work.feed()
    lane = take_due_lanes(bench.core, WORK, 1, busy=(), without=())[0]
    settle_task(bench.core, replicator.work, lane, replicator.work.do(lane))

    stopped = backfills.stop_replication_backfill(bench.core, bench.caller, REGISTRY, backfill_id)
    replicator.run()
    replicator.run()

    assert stopped.status == "STOPPING"
    assert state(bench, backfill_id) == ("STOPPED", 3, 1, 0)
    assert [each.tag for each in there(bench)] == ["v1"]
    assert statuses(bench, bench.ref("one"), "v1") == [("COMPLETE", "")]


def test_backfill_tells_what_failed(bench: Bench, replicator: Replicator) -> None:
    bench.push(bench.create(), make_image(10), "v1")
    replicator.run()
    rules.put_replication_configuration(
        bench.core, bench.caller, REGISTRY, [ReplicationRule((OTHER,))]
    )
    begun = backfills.start_replication_backfill(bench.core, bench.caller, REGISTRY, OTHER)

    replicator.run()
    replicator.run()

    found, results, _ = backfills.describe_replication_backfill_results(
        bench.core, bench.caller, REGISTRY, begun.id, is_failed=True, after=0, limit=10
    )
    assert (found.backfill.failed, found.failure_codes) == (1, ["AccessDenied"])
    assert [(one.repository, one.tag, one.failure_code) for one in results] == [
        ("one", "v1", "AccessDenied")
    ]
