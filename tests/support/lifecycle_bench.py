"""Lifecycle policies on a bench: put and carried out, on images a day apart."""

from __future__ import annotations

import json
from typing import Any

from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import deletions, images, lifecycle
from ecrate.operations.lifecycle import PreviewPage, run_lifecycle_policies
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import make_image
from tests.support.lifecycle import ARCHIVE, policy, rule
from tests.support.pushing import make_index

KEEP_ONE = rule(1)
KEEP_ONE_TAGGED = rule(1, "tagged", tagPatternList=["v*"])
WEEK_OLD = rule(1, countType="sinceImagePushed", countNumber=7)
ARCHIVE_WEEK_OLD = rule(1, countType="sinceImagePushed", countNumber=7, action=ARCHIVE)
EXPIRE_ARCHIVED = rule(
    2, countType="sinceImageTransitioned", storageClass="archive", countNumber=90
)
NOTHING = rule(1, "tagged", tagPatternList=["unused"])


def put(bench: Bench, ref: RepositoryRef, *rules: Any) -> None:
    given = parse_lifecycle_policy(policy(*rules))
    lifecycle.put_lifecycle_policy(bench.core, bench.caller, ref, given)


def evaluated_at(bench: Bench, ref: RepositoryRef) -> float | None:
    return lifecycle.get_lifecycle_policy(bench.core, bench.caller, ref).evaluated_at


def run_in_an_hour(bench: Bench, ref: RepositoryRef, *rules: Any) -> None:
    """Put a policy, wait until it is due, and carry out what is."""
    put(bench, ref, *rules)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)


def push(bench: Bench, ref: RepositoryRef, *tags: str, subject: Digest | None = None) -> Digest:
    """Push an image, about another if told, and let a day pass."""
    made = make_image(10)
    digest = bench.push(ref, made, *tags) if subject is None else _about(bench, ref, subject)
    bench.clock.advance(DAY)
    return digest


def _about(bench: Bench, ref: RepositoryRef, subject: Digest) -> Digest:
    made = make_image(10)
    for blob in made.blobs:
        bench.store(ref, blob.content)
    document = json.loads(made.manifest)
    document["subject"] = {
        "mediaType": document["mediaType"],
        "digest": subject.text,
        "size": 1,
    }
    return bench.put(ref, json.dumps(document))


def push_index(bench: Bench, ref: RepositoryRef, *tags: str) -> tuple[Digest, Digest]:
    """Push an image and an index of it; give the index's digest and the image's."""
    made = make_image(10)
    child = bench.push(ref, made)
    return bench.put(ref, make_index(made), tags), child


def delete(bench: Bench, ref: RepositoryRef, digest: Digest) -> None:
    deletions.batch_delete_image(bench.core, bench.caller, ref, [ImageId(digest)])


def digests(bench: Bench, ref: RepositoryRef) -> set[Digest | None]:
    return {one.digest for one in bench.images(ref)}


def storage_of(bench: Bench, ref: RepositoryRef, digest: Digest) -> str:
    (detail,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(digest)])
    return detail.image.storage.status_at(bench.clock.now)


def fill(bench: Bench, ref: RepositoryRef, count: int) -> None:
    """Put rows of so many images into the repository, one pushed a second."""
    with bench.writing() as tx:
        tx.many(
            "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
            "manifest_size) SELECT id, ?, '', 0, ?, 0 FROM repositories WHERE name = ?",
            [(f"sha256:{at:064x}", bench.clock.now - count + at, ref.name) for at in range(count)],
        )
        tx.run(
            "UPDATE repositories SET image_count = image_count + ? WHERE name = ?", count, ref.name
        )


def count_rows(bench: Bench, table: str) -> int:
    with bench.reading() as tx:
        row = tx.one(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - a constant
    assert row is not None
    return int(row[0])


def preview(bench: Bench, ref: RepositoryRef, *rules: Any) -> PreviewPage:
    given = parse_lifecycle_policy(policy(*rules))
    lifecycle.start_lifecycle_policy_preview(bench.core, bench.caller, ref, given)
    return get_preview(bench, ref)


def get_preview(bench: Bench, ref: RepositoryRef, **members: Any) -> PreviewPage:
    options = {"image_ids": None, "tag_status": "ANY", "after": None, "limit": 100, **members}
    return lifecycle.get_lifecycle_policy_preview(bench.core, bench.caller, ref, **options)


def tag(bench: Bench, ref: RepositoryRef, digest: Digest, *tags: str) -> None:
    (image,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(digest)])
    bench.put(ref, images.read_manifest(bench.core, image.image).decode(), tags)
