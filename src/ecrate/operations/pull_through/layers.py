"""Layers that a cached image needs: fetched when somebody asks, kept once they are verified."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from ecrate.domain.errors import LayerNotFound, StorageFull
from ecrate.domain.images import Descriptor, parse_manifest
from ecrate.domain.layers import MIB
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.upstream_errors import (
    UnableToGetUpstreamLayer,
    UpstreamContentRefused,
    UpstreamUnavailable,
)
from ecrate.operations import layers
from ecrate.operations.authorization import open_repository
from ecrate.operations.core import Core
from ecrate.operations.pull_through.claims import Claim, claimed
from ecrate.operations.pull_through.events import note_complete
from ecrate.operations.pull_through.fetches import NOTHING_WAITED, Fetch, Waited, Waiting
from ecrate.operations.pull_through.upstreams import Source, check_pause, find_source, paced
from ecrate.operations.uploads import NewBlob, settle_blob
from ecrate.store import images as image_store
from ecrate.store import layers as layer_store
from ecrate.store import pull_through as store
from ecrate.store.blobs import Garbage, insert_garbage
from ecrate.store.database import Transaction
from ecrate.store.repositories import lock_repositories
from ecrate.upstream.port import Place

_ATTEMPTS: Final = 3


def fetch_layer(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    digest: str,
    action: str = "GetDownloadUrlForLayer",
) -> Fetch:
    """Fetch a layer that an image of the repository needs, unless that is under way, for a caller
    who may do `action`.

    Raises `LayerNotFound` where nothing is known of it, or it has no upstream.
    """
    with core.database.look() as tx:
        # Most repositories have none: then this costs one look.
        source = find_source(core, tx, ref)
        if source is not None:
            repository = open_repository(tx, caller, ref, action, locks=False)
            wanted = find_needed(tx, repository.id, digest)
            if wanted is not None:
                return start_fetch(core, source, repository.id, wanted)
    raise LayerNotFound(digest, ref.name, ref.registry.id)


def get_download_url_for_layer(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    digest: str,
    waited: Waited = NOTHING_WAITED,
) -> layers.Download:
    """As `layers.get_download_url_for_layer`, of what upstream has as well.

    Raises `Waiting` for a fetch that is not among those `waited` for, and
    `UnableToGetUpstreamLayer`.
    """
    try:
        return layers.get_download_url_for_layer(core, caller, ref, digest)
    except LayerNotFound:
        for fetch in waited.values():
            if fetch.error is not None:
                raise UnableToGetUpstreamLayer(str(fetch.error)) from None
        raise Waiting([fetch_layer(core, caller, ref, digest)]) from None


def find_needed(tx: Transaction, repository_id: int, digest: str) -> Descriptor | None:
    """Give what an image of the repository says of a layer, None where no image needs it."""
    for image_id in store.list_needing(tx, repository_id, digest):
        content = image_store.read_manifest(tx, image_id)
        if content is not None:
            for one in parse_manifest(content).layers:
                if one.digest.text == digest:
                    return one
    return None


def start_fetch(core: Core, source: Source, repository_id: int, wanted: Descriptor) -> Fetch:
    """Fetch a layer, unless that is under way."""

    def work(fetch: Fetch) -> None:
        claimed(
            core,
            source.seam,
            f"fetch {repository_id} {wanted.digest}",
            fetch,
            is_there=lambda: _is_there(core, repository_id, wanted.digest),
            work=lambda claim: _Download(core, source, repository_id, wanted).run(claim, fetch),
            upstream=source.host,
        )

    return source.seam.fetches.start(
        ("layer", repository_id, wanted.digest.text),
        work,
        upstream=source.host,
        layer_size=wanted.size,
    )


def _is_there(core: Core, repository_id: int, digest: Digest) -> bool:
    with core.database.look() as tx:
        return layer_store.find_layer(tx, repository_id, digest.text) is not None


class _Download:
    """One layer on its way from upstream into a file of this node, and from there to the blobs."""

    def __init__(self, core: Core, source: Source, repository_id: int, wanted: Descriptor) -> None:
        self._core = core
        self._source = source
        self._repository_id = repository_id
        self._wanted = wanted
        self._hash = hashlib.new(wanted.digest.algorithm)
        self._size = 0

    def run(self, claim: Claim, fetch: Fetch) -> None:
        """Raise `UpstreamError`, `StorageFull`; nothing is left of what did not come whole."""
        if self._wanted.size > self._core.limits.layer_size:
            raise UpstreamContentRefused(
                self._source.host,
                f"a layer has more than the {self._core.limits.layer_size} bytes it may have",
            )
        check_pause(self._core, self._source)
        claim.spool.parent.mkdir(exist_ok=True)
        try:
            with paced(self._core, self._source), claim.spool.open("xb", buffering=0) as spool:
                fetch.spool = claim.spool
                self._receive(claim, spool)
            claim.renew()
            key = self._keep(claim)
        except BaseException:
            # Its room is needed at once, also where a client still has the file open.
            with contextlib.suppress(FileNotFoundError):
                os.truncate(claim.spool, 0)
            raise
        else:
            self._settle(key)
        finally:
            claim.spool.unlink(missing_ok=True)

    def _receive(self, claim: Claim, spool: BinaryIO) -> None:
        place = self._source.place()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._continue(place, claim, spool)
                break
            except UpstreamUnavailable:
                # What broke off goes on where it was.
                is_broken_off = 0 < self._size < self._wanted.size
                is_stopping = self._source.seam.fetches.is_stopping.is_set()
                if attempt == _ATTEMPTS or not is_broken_off or is_stopping:
                    raise
        digest = f"{self._wanted.digest.algorithm}:{self._hash.hexdigest()}"
        if digest != self._wanted.digest.text:
            self._refuse(f"the digest of its bytes is {digest}")

    def _continue(self, place: Place, claim: Claim, spool: BinaryIO) -> None:
        wanted = self._wanted
        with self._source.seam.upstreams.open_blob(place, wanted.digest, self._size) as source:
            if source.size is not None and source.start + source.size != wanted.size:
                self._refuse(f"it has {source.start + source.size} bytes")
            skipped = source.start
            while piece := source.read(MIB):
                if self._source.seam.fetches.is_stopping.is_set():
                    raise UpstreamUnavailable(self._source.host, "the server stops")
                fresh = piece[max(self._size - skipped, 0) :]
                skipped += len(piece)
                if self._size + len(fresh) > wanted.size:
                    self._refuse("more bytes come")
                with _needs_room():
                    _write(spool, fresh)
                self._hash.update(fresh)
                self._size += len(fresh)
                claim.renew()
        if self._size < wanted.size:
            raise UpstreamUnavailable(
                self._source.host, f"a layer ends after {self._size} of {wanted.size} bytes"
            )

    def _refuse(self, what: str) -> None:
        wanted = self._wanted
        raise UpstreamContentRefused(
            self._source.host, f"layer {wanted.digest} of {wanted.size} bytes: {what}"
        )

    def _keep(self, claim: Claim) -> str:
        """Make the verified bytes a blob that no row names yet; give its key."""
        key = self._core.new_id()
        with _needs_room():
            if not self._core.blobs.adopt(key, claim.spool):
                with claim.spool.open("rb", buffering=0) as spool:
                    self._core.blobs.put(key, cast("BinaryIO", spool), self._wanted.size)
        return key

    def _settle(self, key: str) -> None:
        """Write the rows: the bytes become the blob of their digest, unless it has some already,
        and a layer of the repository.
        """
        core, now = self._core, self._core.clock()
        digest, size = self._wanted.digest, self._wanted.size
        with core.database.look() as tx:
            kept = layer_store.find_blob(tx, digest.text)
        is_lost = kept is not None and (kept[2] or not core.blobs.exists(kept[1], size))
        with core.database.write() as tx:
            if not lock_repositories(tx, [self._repository_id]):
                insert_garbage(tx, [Garbage(key, size)], 0.0)
                return
            new = NewBlob(digest, key, size)
            blob_id, unused, _ = settle_blob(tx, new, lost=kept if is_lost else None, now=now)
            if not layer_store.link_layer(tx, self._repository_id, blob_id, now):
                complete = store.list_completed_by_layer(tx, self._repository_id, blob_id)
                note_complete(core, tx, self._source.ref, complete)
            store.delete_import(tx, self._repository_id, digest.text)
            if unused is not None:
                # Nothing ever referred to these bytes, so they need no quarantine.
                insert_garbage(tx, [Garbage(unused, size)], 0.0)


def _write(spool: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[spool.write(view) :]


@contextlib.contextmanager
def _needs_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise StorageFull from error
