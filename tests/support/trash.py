"""Deleting and restoring on a bench."""

from __future__ import annotations

from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.trash import Origin
from ecrate.operations import deletions, repositories, trash
from ecrate.operations.collection import Collected, collect
from ecrate.operations.trash import RestoredImage
from tests.support.core import DAY, Bench
from tests.support.images import MadeImage


def delete(bench: Bench, ref: RepositoryRef, *digests: Digest) -> None:
    """Delete images; nothing may stand in the way."""
    wanted = [ImageId(one) for one in digests]
    for answer in deletions.batch_delete_image(bench.core, bench.caller, ref, wanted):
        if isinstance(answer, Exception):
            raise answer


def delete_repository(bench: Bench, ref: RepositoryRef) -> int:
    """Delete the repository with all it holds; give its id."""
    return repositories.delete_repository(bench.core, bench.caller, ref, force=True).id


def restore(bench: Bench, ref: RepositoryRef, digest: Digest) -> list[RestoredImage]:
    return trash.restore_image(bench.core, ref, digest)


def digests(bench: Bench, ref: RepositoryRef) -> list[Digest | None]:
    """Give the digests of all images of the repository, each once, in the order they came."""
    return list(dict.fromkeys(one.digest for one in bench.images(ref)))


def items(bench: Bench, origin: Origin | None = None) -> list[str]:
    """Give what is in the trash, repositories first."""
    meant = origin or Origin()
    return [
        *(one.ref.name for one in trash.list_trashed_repositories(bench.core, meant)),
        *(f"{one.ref.name}@{one.digest}" for one in trash.list_trashed_images(bench.core, meant)),
    ]


def collect_all(bench: Bench) -> list[Collected]:
    """Collect until nothing is left to do right now; give what each round settled."""
    rounds = [collect(bench.core)]
    while rounds[-1] != Collected():
        rounds.append(collect(bench.core))
    return rounds


def restore_repository(bench: Bench, ref: RepositoryRef, name: str | None = None) -> RepositoryRef:
    return trash.restore_repository(bench.core, ref, name=name).ref


def readable(bench: Bench, ref: RepositoryRef, image: MadeImage) -> bool:
    return all(bench.read(ref, blob.digest) == blob.content for blob in image.blobs)


def lapse(bench: Bench) -> None:
    """Wait until what only deleted images need is linked by nothing but the trash."""
    bench.clock.advance(DAY + 1)
    collect_all(bench)
