"""Taking over a bundle: everything in it is checked before anything is changed, then each change is
made by itself, so that one that was broken off goes on when it is begun again.

What comes first is what others need: repositories, images, tags; what goes, goes behind that, and
policies come last. Nothing is taken away that was not as the bundle before left it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import pybase64

from ecrate.blobs.verified import DamagedError, VerifiedReader
from ecrate.domain.errors import (
    BundleRefused,
    EcrateError,
    ImageAlreadyExists,
    ImageReferencedByManifestList,
    InvalidParameter,
    LifecyclePolicyNotFound,
    PullGateNotFound,
    ReferencedImagesNotFound,
    RegistryPolicyNotFound,
    RepositoryAlreadyExists,
    RepositoryLocked,
    RepositoryNotFound,
    RepositoryPolicyNotFound,
)
from ecrate.domain.events import ImageAction
from ecrate.domain.images import Image, parse_manifest
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef, is_tag
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import (
    Encryption,
    Repository,
    RepositorySettings,
    TagMutability,
)
from ecrate.operations import gates, lifecycle, policies
from ecrate.operations.bundles.folder import SECTIONS, Bundle
from ecrate.operations.core import Core
from ecrate.operations.deletions import delete_whole_image
from ecrate.operations.events import note_image_action
from ecrate.operations.holds import Hold, holding
from ecrate.operations.images import put_image
from ecrate.operations.imports.layers import LayerIntake
from ecrate.operations.intake import Intake, open_file, read_through
from ecrate.operations.pace import Pace
from ecrate.operations.progress import Watcher
from ecrate.operations.repositories import create_repository, delete_repository
from ecrate.store import bundles as store
from ecrate.store import images as images_store
from ecrate.store.database import Transaction
from ecrate.store.gates import read_gate
from ecrate.store.repositories import find_repository, update_scan_on_push, update_tag_mutability

# Whom events name that tell of what came in a bundle.
ACTOR: Final = "bundle"

Row = list[object]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not taken over, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Applying:
    """A bundle that is being taken over into a registry. Without `has_policies`, its policies are
    left alone. `take_advisories` gets the changes of advisories, where the server has any use.
    The counts are of what changed.
    """

    core: Core
    bundle: Bundle
    registry: RegistryRef
    watcher: Watcher
    pace: Pace
    has_policies: bool = True
    take_advisories: Callable[[Iterator[Row]], object] | None = None
    repositories: int = 0
    images: int = 0
    tags: int = 0
    deleted: int = 0
    layers: int = 0
    size: int = 0
    refusals: list[Refusal] = field(default_factory=list)


def apply_bundle(applying: Applying) -> bool:
    """Take the bundle over; False where it was already. Raises `BundleRefused`, `HoldLost`.

    `refusals` has what could not be.
    """
    core = applying.core
    if not _is_next(applying):
        return False
    if applying.bundle.count("advisories") and applying.take_advisories is None:
        raise BundleRefused("the bundle has advisories, and this server has no use for any")
    _check_everything(applying)
    _note(applying, is_done=False)
    with holding(core) as hold:
        _Registry(applying, hold).run()
        if applying.take_advisories is not None:
            applying.take_advisories(applying.bundle.changes("advisories"))
    _note(applying, is_done=True)
    return True


def _is_next(applying: Applying) -> bool:
    """Tell whether the bundle is to be taken over now, not if it was; raises `BundleRefused` for
    one that comes out of order.
    """
    about = applying.bundle.about
    with applying.core.database.look() as tx:
        last = store.find_applied(tx, applying.registry, about.source)
    if last is not None and last.bundle_id == about.id:
        return not last.is_done
    if last is not None and not last.is_done:
        raise BundleRefused(
            f"the bundle {last.bundle_id} was broken off here; it has to be taken over first"
        )
    if about.since is None:
        if last is not None and about.created_at <= last.created_at:
            raise BundleRefused("the bundle is older than the last one that was taken over here")
        return True
    there = "none has been" if last is None else f"{last.bundle_id} was the last"
    if last is None or last.bundle_id != about.since:
        raise BundleRefused(
            f"the bundle goes on from {about.since}, and of those taken over here {there}"
        )
    return True


def _note(applying: Applying, *, is_done: bool) -> None:
    about, core = applying.bundle.about, applying.core
    applied = store.AppliedBundle(about.id, about.created_at, is_done)
    with core.database.write() as tx:
        store.put_applied(tx, applying.registry, about.source, applied, core.clock())


def _check_everything(applying: Applying) -> None:
    """Read all of the bundle; raises `BundleRefused` where it is not what was signed."""
    bundle = applying.bundle
    applying.watcher.begin("check", bundle.about.size, "bytes")
    for section in SECTIONS:
        for row in bundle.changes(section):
            if row[0] not in ("+", "-"):
                raise BundleRefused(f"the bundle has changes of {section} that are none")
    missing = set(bundle.about.damaged)

    def spend(count: int) -> None:
        applying.watcher.advance(count)
        applying.pace.spend(count)

    for sign, text, size in bundle.changes("blobs"):
        if sign == "-" or text in missing:
            continue
        try:
            digest = Digest.parse(str(text))
            file = bundle.pool.path(digest)
            if not file.is_file():
                raise FileNotFoundError
            read_through(VerifiedReader(open_file(file), digest, int(str(size)), spend))
        except (OSError, DamagedError, InvalidParameter) as error:
            why = str(error) if isinstance(error, DamagedError) else "they are not there"
            raise BundleRefused(f"the bundle has not the bytes of {text}: {why}") from None


def _open_for_bundle(tx: Transaction, _: Caller, ref: RepositoryRef, __: str) -> Repository:
    # Who works on the data may do anything; what the bundle may is decided by its signature.
    return find_repository(tx, ref)


class _Registry:
    """The registry that changes."""

    def __init__(self, applying: Applying, hold: Hold) -> None:
        self._applying = applying
        self._core = applying.core
        self._bundle = applying.bundle
        self._hold = hold
        registry = applying.registry
        arn = f"arn:aws:iam::{registry.id}:root"
        self._caller = Caller(arn, "", registry, is_root=True)
        # Copied, never shared: a bundle is on something that is carried away.
        intake = Intake(self._core.blobs, lambda _: hold.renew(), copies=True)
        self._layers = LayerIntake(self._core, intake, self._bundle.pool.path)

    def run(self) -> None:
        bundle = self._bundle
        total = sum(bundle.count(section) for section in SECTIONS if section != "blobs")
        self._applying.watcher.begin("changes", total, "changes")
        self._each("repositories", "+", self._put_repository)
        self._put_images()
        self._each("tags", "+", self._put_tag)
        self._each("tags", "-", self._delete_tag)
        self._delete_images()
        if self._applying.has_policies:
            self._each("policies", "+", self._put_policy)
            self._each("policies", "-", self._delete_policy)
        self._each("repositories", "-", self._delete_repository)
        self._applying.layers, self._applying.size = self._layers.count, self._layers.size

    def _each(self, section: str, sign: str, change: Callable[[Row], None]) -> None:
        for row in self._bundle.changes(section):
            if row[0] != sign:
                continue
            try:
                change(row[1:])
            except EcrateError as error:
                self._refuse(row, error)
            self._applying.watcher.advance(1)
            self._hold.renew()

    def _refuse(self, row: Row, error: EcrateError) -> None:
        what = " ".join(str(one) for one in row[:4] if isinstance(one, str))
        self._applying.refusals.append(Refusal(what, str(error)))

    def _ref(self, name: object) -> RepositoryRef:
        return RepositoryRef.parse(self._applying.registry, str(name))

    def _put_repository(self, row: Row) -> None:
        name, mode, filters, scan_on_push, encryption, key, tags = row
        settings = RepositorySettings(
            tag_mutability=TagMutability(str(mode), tuple(json.loads(str(filters)))),
            scan_on_push=bool(scan_on_push),
            encryption=Encryption(str(encryption), None if key is None else str(key)),
            resource_tags=tuple((one, value) for one, value in json.loads(str(tags))),
        )
        ref = self._ref(name)
        with suppress(RepositoryAlreadyExists):
            create_repository(self._core, self._caller, ref, settings)
            self._applying.repositories += 1
            return
        with self._core.database.write() as tx:
            repository = find_repository(tx, ref)
            update_tag_mutability(tx, repository.id, settings.tag_mutability)
            update_scan_on_push(tx, repository.id, scan_on_push=settings.scan_on_push)

    def _put_images(self) -> None:
        """Put the images that are new; an index behind what it lists, which may be indexes too."""
        is_last = False
        while True:
            put = left = 0
            for row in self._bundle.changes("images"):
                if row[0] != "+":
                    continue
                try:
                    put += self._put_image(row[1:])
                except ReferencedImagesNotFound as error:
                    left += 1
                    if is_last:
                        self._refuse(row, error)
                except EcrateError as error:
                    self._refuse_once(row, error)
                self._hold.renew()
            if is_last or not left:
                return
            is_last = not put

    def _refuse_once(self, row: Row, error: EcrateError) -> None:
        count = len(self._applying.refusals)
        self._refuse(row, error)
        if self._applying.refusals[-1] in self._applying.refusals[:count]:
            self._applying.refusals.pop()

    def _put_image(self, row: Row) -> bool:
        """Tell whether the image was not there."""
        _, name, text, media_type, pushed_at, content = row
        ref, digest = self._ref(name), Digest.parse(str(text))
        with self._core.database.look() as tx:
            repository = find_repository(tx, ref)
            if images_store.find_image(tx, repository.id, digest.text) is not None:
                return False
        document = pybase64.b64decode(str(content), validate=True)
        manifest = parse_manifest(document, str(media_type), algorithm=digest.algorithm)
        if manifest.digest != digest:
            raise InvalidParameter("imageManifest", f"it has another digest, {manifest.digest}")
        self._layers.bring(ref, manifest)
        # An image is as old as it is: lifecycle policies go by that.
        core = replace(self._core, clock=lambda: float(str(pushed_at)))
        with suppress(ImageAlreadyExists):
            put_image(
                core, self._caller, ref, manifest, [], opened_by=_open_for_bundle, actor=ACTOR
            )
        self._applying.images += 1
        return True

    def _put_tag(self, row: Row) -> None:
        name, tag, text = row
        ref, digest = self._ref(name), Digest.parse(str(text))
        if not is_tag(str(tag)):
            raise InvalidParameter("imageTag", f"{tag!r} is no tag")
        with self._core.database.write() as tx:
            repository = find_repository(tx, ref)
            image = images_store.find_image(tx, repository.id, digest.text)
            before = images_store.find_tagged_image(tx, repository.id, str(tag))
            if image is None:
                raise InvalidParameter("imageDigest", f"its image {digest} is not there")
            if before is not None and before.id == image.id:
                return
            images_store.put_tag(tx, repository.id, str(tag), image.id, before=before)
            self._tell(tx, ref, "PUSH", image, str(tag))
        self._applying.tags += 1

    def _delete_tag(self, row: Row) -> None:
        name, tag, text = row
        with suppress(RepositoryNotFound), self._core.database.write() as tx:
            repository = find_repository(tx, self._ref(name))
            image = images_store.find_tagged_image(tx, repository.id, str(tag))
            if image is None or image.digest.text != text:
                return
            _check_unlocked(repository)
            images_store.delete_tag(tx, repository.id, str(tag), image.id)
            self._tell(tx, repository.ref, "DELETE", image, str(tag))
            self._applying.deleted += 1

    def _tell(self, tx: Transaction, ref: RepositoryRef, name: str, image: Image, tag: str) -> None:
        action = ImageAction.of(name, image, tag)
        note_image_action(tx, ref, action, actor=ACTOR, now=self._core.clock())

    def _delete_images(self) -> None:
        """Delete the images that are gone; what an index lists behind that."""
        is_last = False
        while True:
            gone = left = 0
            for row in self._bundle.changes("images"):
                if row[0] != "-":
                    continue
                try:
                    gone += self._delete_image(row[1:])
                except ImageReferencedByManifestList as error:
                    left += 1
                    if is_last:
                        self._refuse(row, error)
                except EcrateError as error:
                    self._refuse_once(row, error)
                self._hold.renew()
            if is_last or not left:
                return
            is_last = not gone

    def _delete_image(self, row: Row) -> bool:
        """Tell whether the image was there, and nobody here has tagged it."""
        with suppress(RepositoryNotFound), self._core.database.write() as tx:
            repository = find_repository(tx, self._ref(row[1]))
            image = images_store.find_image(tx, repository.id, str(row[2]))
            if image is None or image.tag_count:
                return False
            _check_unlocked(repository)
            delete_whole_image(self._core, tx, repository, image, actor=ACTOR)
            self._applying.deleted += 1
            return True
        return False

    def _put_policy(self, row: Row) -> None:
        kind, name, text = str(row[0]), row[1], str(row[2])
        core, caller = self._core, self._caller
        if kind == "registry":
            policies.put_registry_policy(core, caller, text)
        elif kind == "repository":
            policies.set_repository_policy(core, caller, self._ref(name), text, force=True)
        elif kind == "lifecycle":
            policy = parse_lifecycle_policy(text)
            lifecycle.put_lifecycle_policy(core, caller, self._ref(name), policy)
        elif kind == "pull-gate":
            gates.put_gate(core, self._ref(name), read_gate(*json.loads(text)))
        else:
            raise InvalidParameter("kind", f"'{kind}' is no kind of policy")

    def _delete_policy(self, row: Row) -> None:
        kind, core, caller = str(row[0]), self._core, self._caller
        missing = (
            LifecyclePolicyNotFound,
            PullGateNotFound,
            RegistryPolicyNotFound,
            RepositoryNotFound,
            RepositoryPolicyNotFound,
        )
        with suppress(*missing):
            if kind == "registry":
                policies.delete_registry_policy(core, caller)
            elif kind == "repository":
                policies.delete_repository_policy(core, caller, self._ref(row[1]))
            elif kind == "lifecycle":
                lifecycle.delete_lifecycle_policy(core, caller, self._ref(row[1]))
            elif kind == "pull-gate":
                gates.delete_gate(core, self._ref(row[1]))

    def _delete_repository(self, row: Row) -> None:
        with suppress(RepositoryNotFound):
            delete_repository(self._core, self._caller, self._ref(row[0]), force=False)
            self._applying.deleted += 1


def _check_unlocked(repository: Repository) -> None:
    if repository.is_locked:
        raise RepositoryLocked(repository.ref.name, repository.ref.registry.id)
