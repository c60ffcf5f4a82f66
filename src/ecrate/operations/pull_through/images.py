"""Images by tag or digest, from here or from upstream."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from ecrate.domain.errors import (
    AccessDenied,
    EcrateError,
    ImageNotFound,
    InvalidParameter,
    RepositoryAlreadyExists,
    RepositoryNotFound,
)
from ecrate.domain.images import MANIFEST_TYPES, Image, Manifest, parse_manifest
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository, RepositorySettings
from ecrate.domain.templates import PULL_THROUGH_CACHE
from ecrate.domain.upstream_errors import (
    UnableToGetUpstreamImage,
    UpstreamContentRefused,
    UpstreamError,
    UpstreamNotFound,
)
from ecrate.operations import images
from ecrate.operations.core import Core
from ecrate.operations.pull_through.claims import Claim, claimed
from ecrate.operations.pull_through.events import note_complete, note_sync
from ecrate.operations.pull_through.fetches import NOTHING_WAITED, Fetch, Waited, Waiting
from ecrate.operations.pull_through.upstreams import (
    Source,
    check_pause,
    find_source_for,
    paced,
)
from ecrate.operations.repositories import authorize_creation, insert_repository
from ecrate.operations.templates import find_template, make_repository
from ecrate.store import images as image_store
from ecrate.store import pull_through as store
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository
from ecrate.upstream.port import UpstreamManifest

_LOG: Final = logging.getLogger("ecrate")
# How long a tag that could not be compared is served before that is tried again.
_RETRY: Final = 60.0


def find_image(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    image_id: ImageId,
    waited: Waited = NOTHING_WAITED,
) -> Image:
    """As `images.find_image`, of what upstream has as well.

    Raises `Waiting` for a fetch that is not among those `waited` for; `UpstreamError`.
    """
    try:
        answer: Image | EcrateError = images.find_image(core, caller, ref, image_id)
    except (ImageNotFound, RepositoryNotFound) as missing:
        answer = missing
    answer = _Asker(core, caller, ref, waited).settle(image_id, answer)
    if isinstance(answer, EcrateError):
        raise answer
    return answer


def get_image(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    image_id: ImageId,
    waited: Waited = NOTHING_WAITED,
) -> tuple[Image, bytes]:
    """As `images.get_image`, of what upstream has as well; raises as `find_image` does."""
    image = find_image(core, caller, ref, image_id, waited)
    return image, images.read_manifest(core, image)


def find_images(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    image_ids: Sequence[ImageId | EcrateError],
    waited: Waited = NOTHING_WAITED,
) -> list[Image | EcrateError]:
    """As `images.find_images`, of what upstream has as well.

    Raises `Waiting` for all fetches at once, and `UnableToGetUpstreamImage` where upstream sent
    what cannot be taken.
    """
    try:
        answers = images.find_images(core, caller, ref, image_ids)
    except RepositoryNotFound as missing:
        answers = [entry if isinstance(entry, EcrateError) else missing for entry in image_ids]
    pending: list[Fetch] = []
    asker = _Asker(core, caller, ref, waited)
    for place, (entry, answer) in enumerate(zip(image_ids, answers, strict=True)):
        if isinstance(entry, EcrateError):
            continue
        try:
            answers[place] = asker.settle(entry, answer)
        except Waiting as waiting:
            pending += waiting.fetches
    if pending:
        raise Waiting(pending)
    return [_told(answer) for answer in answers]


def _told(answer: Image | EcrateError) -> Image | EcrateError:
    if isinstance(answer, RepositoryNotFound):
        raise answer
    if isinstance(answer, UpstreamContentRefused):
        raise UnableToGetUpstreamImage(str(answer))
    return answer


def is_answered(core: Core, answer: Image | EcrateError) -> bool:
    """Tell whether an answer needs nothing from upstream, without asking anybody."""
    if core.pull_through is None:
        return True
    if isinstance(answer, Image):
        checked_at = answer.checked_at
        return checked_at is None or core.clock() - checked_at <= core.pull_through.recheck
    return not isinstance(answer, ImageNotFound | RepositoryNotFound)


class _Asker:
    """One client that asks for images of a repository, and what it has waited for."""

    def __init__(self, core: Core, caller: Caller, ref: RepositoryRef, waited: Waited) -> None:
        self._core = core
        self._caller = caller
        self._ref = ref
        self._waited = waited

    def settle(self, image_id: ImageId, answer: Image | EcrateError) -> Image | EcrateError:
        """Give the answer, once upstream was asked where it has to be; raises `Waiting` until
        then.
        """
        if is_answered(self._core, answer):
            return answer
        fetch = self._waited.get(_key(self._ref, image_id))
        if fetch is None:
            source = find_source_for(self._core, self._caller, self._ref)
            if source is None or not self._may_store(answer):
                return answer
            raise Waiting([start_fetch(self._core, source, image_id)])
        is_kept = isinstance(answer, Image) or isinstance(fetch.error, UpstreamNotFound)
        return answer if is_kept or fetch.error is None else fetch.error

    def _may_store(self, answer: Image | EcrateError) -> bool:
        """Tell whether there is a repository for what comes, or the caller may create it."""
        if not isinstance(answer, RepositoryNotFound):
            return True
        with self._core.database.look() as tx:
            settings = _settings(self._core, tx, self._ref)
            try:
                authorize_creation(tx, self._caller, self._ref, settings)
            except AccessDenied:
                return False
        return True


def _settings(core: Core, tx: Transaction, ref: RepositoryRef) -> RepositorySettings:
    template = find_template(core, tx, ref, PULL_THROUGH_CACHE)
    return RepositorySettings() if template is None else template.settings(ref.registry)


def _key(ref: RepositoryRef, image_id: ImageId) -> tuple[str, str, str]:
    return "manifest", ref.arn, _reference(image_id)


def _reference(image_id: ImageId) -> str:
    return image_id.tag or (image_id.digest.text if image_id.digest else "")


def start_fetch(core: Core, source: Source, image_id: ImageId) -> Fetch:
    """Fetch the manifest of a tag or digest, unless that is under way."""

    def work(fetch: Fetch) -> None:
        since = core.clock()
        claimed(
            core,
            source.seam,
            f"fetch {source.ref.arn} {_reference(image_id)}",
            fetch,
            is_there=lambda: _is_there(core, source, image_id, since),
            work=lambda claim: fetch_manifest(core, source, image_id, claim),
            upstream=source.host,
        )

    return source.seam.fetches.start(_key(source.ref, image_id), work, upstream=source.host)


def _is_there(core: Core, source: Source, image_id: ImageId, since: float) -> bool:
    """Tell whether another process has fetched it meanwhile."""
    with core.database.look() as tx, contextlib.suppress(RepositoryNotFound):
        repository = find_repository(tx, source.ref)
        if image_id.tag is None:
            return image_store.find_image(tx, repository.id, _reference(image_id)) is not None
        check = store.find_check(tx, repository.id, image_id.tag)
        return check is not None and check[0] >= since
    return False


def fetch_manifest(core: Core, source: Source, image_id: ImageId, claim: Claim) -> None:
    """Fetch and keep a manifest under a claim; raises `UpstreamError`."""
    tag = image_id.tag
    check = None if tag is None else _check(core, source.ref, tag)
    try:
        check_pause(core, source)
        with _noting_failure(core, source, image_id), paced(core, source):
            got = source.seam.upstreams.get_manifest(
                source.place(), _reference(image_id), etag="" if check is None else check[1]
            )
            claim.renew()
            manifest = None if got is None else _manifest(source, image_id, got)
        if got is None or manifest is None:
            _note_check(core, source, tag or "", "" if check is None else check[1])
        else:
            _store(core, source, manifest, tag, got.etag)
    except UpstreamError as error:
        if check is not None and tag is not None:
            # What is here is served on.
            _LOG.warning("%s:%s is served as it is here: %s", source.ref.name, tag, error)
            _delay_check(core, source, tag)
        raise


@contextlib.contextmanager
def _noting_failure(core: Core, source: Source, image_id: ImageId) -> Iterator[None]:
    try:
        yield
    except UpstreamNotFound:
        raise
    except UpstreamError as error:
        failure = (type(error).__name__, str(error))
        with core.database.write() as tx:
            note_sync(core, tx, source, image_id, failure)
        raise


def _check(core: Core, ref: RepositoryRef, tag: str) -> tuple[float, str] | None:
    with core.database.look() as tx, contextlib.suppress(RepositoryNotFound):
        return store.find_check(tx, find_repository(tx, ref).id, tag)
    return None


def _manifest(source: Source, image_id: ImageId, got: UpstreamManifest) -> Manifest:
    """Read what came; raises `UpstreamContentRefused`."""
    wanted = image_id.digest if image_id.tag is None else None
    algorithm = "sha256" if wanted is None else wanted.algorithm
    # Some registries have no type for it but the one of JSON.
    declared = got.media_type if got.media_type in MANIFEST_TYPES else None
    if wanted is not None and not wanted.fits(got.content):
        raise UpstreamContentRefused(source.host, f"the manifest is not that of {wanted}")
    try:
        return parse_manifest(got.content, declared, algorithm=algorithm)
    except InvalidParameter as error:
        raise UpstreamContentRefused(source.host, f"the manifest: {error.constraint}") from None


def _note_check(core: Core, source: Source, tag: str, etag: str) -> None:
    with core.database.write() as tx, contextlib.suppress(RepositoryNotFound):
        repository = find_repository(tx, source.ref)
        store.note_check(tx, repository.id, tag, core.clock(), etag)


def _delay_check(core: Core, source: Source, tag: str) -> None:
    with core.database.write() as tx, contextlib.suppress(RepositoryNotFound):
        repository = find_repository(tx, source.ref)
        retry = min(_RETRY, source.seam.recheck)
        store.delay_check(tx, repository.id, tag, core.clock() - source.seam.recheck + retry)


def _store(core: Core, source: Source, manifest: Manifest, tag: str | None, etag: str) -> None:
    """Keep a verified manifest, and note what else it needs."""
    digest = manifest.digest
    with core.database.write() as tx:
        repository = _open_or_make(core, tx, source.ref)
        image = image_store.find_image(tx, repository.id, digest.text)
        if image is None:
            image_id = images.insert_image(core, tx, repository, manifest, is_sparse=True)
            store.enlarge_indexes(tx, image_id)
            if source.seam.imports_all:
                store.insert_imports(tx, repository.id, _needs(manifest), core.clock())
        else:
            image_id = image.id
            image_store.heal_manifest(tx, image_id, manifest.content)
        store.delete_import(tx, repository.id, digest.text)
        is_moved = False
        if tag is not None:
            count = _put_tag(tx, repository, tag, image_id)
            is_moved = count > 0
            images.check_tag_count(core, repository, digest, count)
            store.note_check(tx, repository.id, tag, core.clock(), etag or f'"{digest}"')
        note_sync(core, tx, source, ImageId(digest, tag))
        complete = store.list_completed_by_image(tx, image_id)
        if image is None:
            note_complete(core, tx, source.ref, complete)
        elif is_moved and image_id in complete:
            note_complete(core, tx, source.ref, [image_id], tag=tag)


def _needs(manifest: Manifest) -> list[tuple[str, bool]]:
    layers = [one.digest.text for one in manifest.layers if not one.is_foreign]
    children = [one.digest.text for one in manifest.children if not one.is_foreign]
    return [*((one, True) for one in children), *((one, False) for one in layers)]


def _open_or_make(core: Core, tx: Transaction, ref: RepositoryRef) -> Repository:
    with contextlib.suppress(RepositoryNotFound):
        return find_repository(tx, ref)
    template = find_template(core, tx, ref, PULL_THROUGH_CACHE)
    if template is not None:
        make_repository(core, tx, ref, template)
    else:
        # Another fetch may have made it this moment.
        with contextlib.suppress(RepositoryAlreadyExists):
            insert_repository(core, tx, ref, RepositorySettings())
    return find_repository(tx, ref)


def _put_tag(tx: Transaction, repository: Repository, tag: str, image_id: int) -> int:
    """Point the tag at the image; give how many tags that has, 0 where it had this one already."""
    before = image_store.find_tagged_image(tx, repository.id, tag)
    if before is not None and before.id == image_id:
        return 0
    # AWS: user guide: a repository whose tags are immutable keeps what it has.
    if before is not None and repository.tag_mutability.is_immutable(tag):
        return 0
    return image_store.put_tag(tx, repository.id, tag, image_id, before=before)
