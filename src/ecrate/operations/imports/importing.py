"""Taking over repositories, images and tags from another registry's files.

An image is put as a push would put it, so it meets the same rules, and its bytes are linked where
the filesystem can. What is there already is passed by, so that whatever broke it off, it goes on
when it is begun again, and brings what has come since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ecrate.domain.errors import (
    EcrateError,
    ImageAlreadyExists,
    ImportRefused,
    InvalidParameter,
    ReferencedImagesNotFound,
    RepositoryAlreadyExists,
)
from ecrate.domain.images import Manifest, parse_manifest
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef, is_tag
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import RepositorySettings
from ecrate.operations.core import Core
from ecrate.operations.holds import holding
from ecrate.operations.images import put_image
from ecrate.operations.imports.distribution import DistributionFiles, Revision, TaggedRevision
from ecrate.operations.imports.layers import LayerIntake
from ecrate.operations.intake import Intake
from ecrate.operations.pace import Pace
from ecrate.operations.progress import Watcher
from ecrate.operations.repositories import create_repository
from ecrate.store import images
from ecrate.store.repositories import find_repository


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not taken over, and why."""

    repository: str
    what: str
    why: str


@dataclass(slots=True)
class Importing:
    """An import under way. Names get the `prefix`; with `trusts`, files that can be linked are not
    read. The counts are of what was new.
    """

    core: Core
    files: DistributionFiles
    registry: RegistryRef
    watcher: Watcher
    pace: Pace
    prefix: str = ""
    trusts: bool = False
    repositories: int = 0
    images: int = 0
    tags: int = 0
    layers: int = 0
    size: int = 0
    refusals: list[Refusal] = field(default_factory=list)


def import_distribution(importing: Importing) -> None:
    """Take over everything; `refusals` has what could not be."""
    files = importing.files
    names = list(files.names())
    total = sum(1 for name in names for _ in files.revisions(name))
    importing.watcher.begin("images", total, "images")
    with holding(importing.core) as hold:

        def spend(count: int) -> None:
            importing.pace.spend(count)
            hold.renew()

        intake = Intake(importing.core.blobs, spend, trusts=importing.trusts)
        layers = LayerIntake(importing.core, intake, files.blob)
        for name in names:
            hold.renew()
            try:
                ref = RepositoryRef.parse(importing.registry, f"{importing.prefix}{name}")
                _Repository(importing, layers, name, ref, hold.renew).run()
            except EcrateError as error:
                importing.refusals.append(Refusal(name, "repository", str(error)))
        importing.layers, importing.size = layers.count, layers.size


class _Repository:
    """Takes over one repository."""

    def __init__(
        self,
        importing: Importing,
        layers: LayerIntake,
        name: str,
        ref: RepositoryRef,
        renew: Callable[[], None],
    ) -> None:
        self._importing = importing
        self._core = importing.core
        self._files = importing.files
        self._layers = layers
        self._name = name
        self._ref = ref
        self._renew = renew
        account = ref.registry.id
        self._caller = Caller(f"arn:aws:iam::{account}:root", "", ref.registry, is_root=True)

    def run(self) -> None:
        with suppress(RepositoryAlreadyExists):
            create_repository(self._core, self._caller, self._ref, RepositorySettings())
            self._importing.repositories += 1
        indexes = [
            revision
            for revision in self._files.revisions(self._name)
            if not self._take(revision, is_last=False)
        ]
        # An index comes behind what it lists, which may be indexes too.
        while indexes:
            left = [revision for revision in indexes if not self._take(revision, is_last=False)]
            if len(left) == len(indexes):
                for revision in left:
                    self._take(revision, is_last=True)
                break
            indexes = left
        self._take_tags()

    def _take(self, revision: Revision, *, is_last: bool) -> bool:
        """Take over an image; False where what it lists has to come first, unless it `is_last`."""
        try:
            if not self._has(revision.digest):
                self._put(revision)
                self._importing.images += 1
        except ReferencedImagesNotFound as error:
            if not is_last:
                return False
            self._refuse(revision.digest.text, error)
        except ImageAlreadyExists:
            pass  # pushed this moment
        except EcrateError as error:
            self._refuse(revision.digest.text, error)
        self._importing.watcher.advance(1)
        self._renew()
        return True

    def _has(self, digest: Digest) -> bool:
        with self._core.database.look() as tx:
            repository = find_repository(tx, self._ref)
            return images.find_image(tx, repository.id, digest.text) is not None

    def _put(self, revision: Revision) -> None:
        manifest = self._read(revision.digest)
        self._layers.bring(self._ref, manifest)
        # An image is as old as it is, whenever it is taken over: lifecycle policies go by that.
        core = replace(self._core, clock=lambda: revision.stored_at)
        put_image(core, self._caller, self._ref, manifest, [])

    def _read(self, digest: Digest) -> Manifest:
        content = self._files.manifest(digest)
        if content is None:
            raise ImportRefused("its manifest is gone or damaged")
        return parse_manifest(content, algorithm=digest.algorithm)

    def _take_tags(self) -> None:
        by_digest: defaultdict[Digest, list[TaggedRevision]] = defaultdict(list)
        for tagged in self._files.tags(self._name):
            by_digest[tagged.digest].append(tagged)
        for digest, tags in by_digest.items():
            self._renew()
            try:
                self._tag(digest, [one.tag for one in tags if self._is_wanted(one)])
            except EcrateError as error:
                self._refuse(", ".join(one.tag for one in tags), error)

    def _is_wanted(self, tagged: TaggedRevision) -> bool:
        """Tell whether the tag is to point elsewhere than it does: not if that is younger."""
        with self._core.database.look() as tx:
            repository = find_repository(tx, self._ref)
            there = images.find_tagged_image(tx, repository.id, tagged.tag)
        if there is None or there.digest == tagged.digest:
            return there is None
        return there.pushed_at <= tagged.tagged_at

    def _tag(self, digest: Digest, tags: list[str]) -> None:
        if not tags:
            return
        if not all(map(is_tag, tags)):
            raise InvalidParameter("imageTag", "a tag has up to 128 letters, digits, _ . and -")
        if not self._has(digest):
            raise ImportRefused(f"its image {digest} was not taken over")
        put_image(self._core, self._caller, self._ref, self._read(digest), tags)
        self._importing.tags += len(tags)

    def _refuse(self, what: str, error: EcrateError) -> None:
        self._importing.refusals.append(Refusal(self._name, what, str(error)))
