"""Rows of blobs, of layers (a blob's link into a repository) and of uploads."""

from __future__ import annotations

from collections.abc import Sequence

from ecrate.domain.layers import Layer, Upload
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.store.blobs import Garbage, insert_garbage, note_unlinked
from ecrate.store.database import Row, Transaction
from ecrate.store.images import ACTIVE_IMAGE
from ecrate.store.repositories import NAMED, OPENED_COLUMNS, OPENED_COUNT, Opened, opened

_STEP = 500
_REFERENCES = (
    "FROM image_layers r JOIN images i ON i.id = r.image_id "
    "WHERE r.repository_id = l.repository_id AND r.blob_id = l.blob_id"
)
_USE = (
    f"(SELECT r.media_type {_REFERENCES} LIMIT 1), "
    f"l.image_count > 0 AND NOT EXISTS (SELECT 1 {_REFERENCES} AND {ACTIVE_IMAGE})"
)
_UPLOAD = (
    "id, repository_id, principal, size, parts, last_part_first_byte, has_short_part, "
    "hash_state, touched_at, completed_digest, existed, blob_state, claim"
)


def find_layer(tx: Transaction, repository_id: int, digest: str) -> Layer | None:
    """Give the layer if this repository has it; another repository's does not count."""
    row = tx.one(
        "SELECT b.id, b.size, b.key, l.touched_at FROM blobs b "
        "JOIN layers l ON l.blob_id = b.id AND l.repository_id = ? "
        "WHERE b.digest = ? AND b.lost_at IS NULL",
        repository_id,
        digest,
    )
    return None if row is None else Layer(row[0], Digest(digest), row[1], row[2], row[3])


def list_layers(
    tx: Transaction, repository_id: int, digests: Sequence[str], now: float
) -> dict[str, tuple[Layer, str | None, bool]]:
    """Give, by digest, those of the layers that this repository has: with a media type under
    which an image of it refers to the layer, and whether all such images are archived.
    """
    found: dict[str, tuple[Layer, str | None, bool]] = {}
    for start in range(0, len(digests), _STEP):
        some = digests[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        rows = tx.all(
            f"SELECT b.digest, b.id, b.size, b.key, l.touched_at, {_USE} FROM blobs b "  # noqa: S608 - constants
            f"JOIN layers l ON l.blob_id = b.id AND l.repository_id = ? "
            f"WHERE b.digest IN ({marks}) AND b.lost_at IS NULL",
            now,
            repository_id,
            *some,
        )
        for digest, blob_id, size, key, touched_at, media_type, is_archived in rows:
            layer = Layer(blob_id, Digest(digest), size, key, touched_at)
            found[digest] = layer, media_type, bool(is_archived)
    return found


def list_blob_ids(tx: Transaction, repository_id: int, digests: Sequence[str]) -> dict[str, int]:
    """Give, by digest, the blob ids of those of the layers that this repository has."""
    found: dict[str, int] = {}
    for start in range(0, len(digests), _STEP):
        some = digests[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        rows = tx.all(
            "SELECT b.digest, b.id FROM blobs b JOIN layers l ON l.blob_id = b.id "  # noqa: S608 - places
            f"AND l.repository_id = ? WHERE b.digest IN ({marks}) AND b.lost_at IS NULL",
            repository_id,
            *some,
        )
        found.update(rows)
    return found


def open_layer(
    tx: Transaction, ref: RepositoryRef, digest: str
) -> tuple[Opened, Layer | None, bool]:
    """Ask for a repository with its policies, for a layer of it, and whether the repository has
    images that are archived, so that the layer may be (`is_archived_layer`).
    """
    row = tx.one(
        f"SELECT {OPENED_COLUMNS}, b.id, b.size, b.key, l.touched_at, "  # noqa: S608 - constants
        "EXISTS (SELECT 1 FROM images i WHERE i.repository_id = r.id AND i.status <> 'ACTIVE') "
        "FROM repositories r LEFT JOIN blobs b ON b.digest = ? AND b.lost_at IS NULL "
        f"LEFT JOIN layers l ON l.repository_id = r.id AND l.blob_id = b.id WHERE {NAMED}",
        digest,
        ref.registry.id,
        ref.registry.region,
        ref.name,
    )
    found = opened(tx, ref, row)
    if row is None or row[OPENED_COUNT + 3] is None:
        return found, None, False
    blob_id, size, key, touched_at, has_archived = row[OPENED_COUNT:]
    return found, Layer(blob_id, Digest(digest), size, key, touched_at), bool(has_archived)


def find_layer_media_type(tx: Transaction, repository_id: int, blob_id: int) -> str | None:
    """Give the media type under which an image of the repository refers to the layer."""
    row = tx.one(
        "SELECT media_type FROM image_layers WHERE repository_id = ? AND blob_id = ? LIMIT 1",
        repository_id,
        blob_id,
    )
    return None if row is None else str(row[0])


def is_archived_layer(tx: Transaction, repository_id: int, blob_id: int, now: float) -> bool:
    """Tell whether images of the repository need the layer, and none of them is active."""
    return (
        tx.one(
            "SELECT 1 FROM layers l WHERE l.repository_id = ? AND l.blob_id = ? "  # noqa: S608 - a constant
            "AND l.image_count > 0 AND NOT EXISTS (SELECT 1 FROM image_layers r "
            "JOIN images i ON i.id = r.image_id WHERE r.repository_id = l.repository_id "
            f"AND r.blob_id = l.blob_id AND {ACTIVE_IMAGE})",
            repository_id,
            blob_id,
            now,
        )
        is not None
    )


def touch_layers(tx: Transaction, repository_id: int, digests: Sequence[str], now: float) -> None:
    """Begin a new grace period for those of the layers that are still linked."""
    tx.many(
        "UPDATE layers SET touched_at = ? WHERE repository_id = ? "
        "AND blob_id = (SELECT id FROM blobs WHERE digest = ?)",
        [(now, repository_id, digest) for digest in digests],
    )


def find_blob(tx: Transaction, digest: str) -> tuple[int, str, bool] | None:
    """Give id and key of the bytes with this digest, whoever stored them, and whether they are
    known to be lost; locked in a write.
    """
    row = tx.one("SELECT id, key, lost_at FROM blobs WHERE digest = ? FOR UPDATE", digest)
    return None if row is None else (row[0], row[1], row[2] is not None)


def insert_blob(tx: Transaction, digest: Digest, key: str, size: int, now: float) -> int | None:
    """Give the id, None where there are bytes with this digest."""
    row = tx.one(
        "INSERT INTO blobs (digest, key, size, stored_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (digest) DO NOTHING RETURNING id",
        digest.text,
        key,
        size,
        now,
    )
    return None if row is None else int(row[0])


def replace_blob_key(tx: Transaction, blob_id: int, key: str) -> None:
    """Let other bytes be those of the blob, whose own were lost."""
    tx.run("UPDATE blobs SET key = ?, lost_at = NULL WHERE id = ?", key, blob_id)


def link_layer(tx: Transaction, repository_id: int, blob_id: int, now: float) -> bool:
    """Link the blob into the repository, both of them locked; tell whether it was linked before."""
    if tx.run(
        "UPDATE layers SET touched_at = ? WHERE repository_id = ? AND blob_id = ?",
        now,
        repository_id,
        blob_id,
    ):
        return True
    tx.run(
        "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (?, ?, ?)",
        repository_id,
        blob_id,
        now,
    )
    _adopt(tx, repository_id, blob_id)
    return False


def _adopt(tx: Transaction, repository_id: int, blob_id: int) -> None:
    """Make images that came before this layer refer to it."""
    waiting = tx.all(
        "DELETE FROM missing_references WHERE repository_id = ? AND is_child = 0 "
        "AND digest = (SELECT digest FROM blobs WHERE id = ?) RETURNING image_id, media_type",
        repository_id,
        blob_id,
    )
    tx.many(
        "INSERT INTO image_layers (image_id, repository_id, blob_id, media_type) "
        "VALUES (?, ?, ?, ?)",
        [(image_id, repository_id, blob_id, media_type) for image_id, media_type in waiting],
    )
    if waiting:
        tx.run(
            "UPDATE layers SET image_count = image_count + ? "
            "WHERE repository_id = ? AND blob_id = ?",
            len(waiting),
            repository_id,
            blob_id,
        )


def list_repositories_with(
    tx: Transaction, registry: RegistryRef, digest: str, limit: int
) -> list[str]:
    """Give names of repositories of the registry that have the layer."""
    rows = tx.all(
        # CROSS JOIN makes SQLite begin with the blob, not with all repositories of the registry.
        "SELECT r.name FROM blobs b CROSS JOIN layers l CROSS JOIN repositories r "
        "WHERE b.digest = ? AND l.blob_id = b.id AND r.id = l.repository_id "
        "AND r.registry_id = ? AND r.region = ? LIMIT ?",
        digest,
        registry.id,
        registry.region,
        limit,
    )
    return [row[0] for row in rows]


def unlink_layer(tx: Transaction, repository_id: int, blob_id: int) -> bool:
    """Take the layer out of the repository, which is locked, unless an image needs it; tell
    whether it is out.
    """
    removed = tx.run(
        "DELETE FROM layers WHERE repository_id = ? AND blob_id = ? AND image_count = 0",
        repository_id,
        blob_id,
    )
    if removed:
        note_unlinked(tx, [blob_id])
    return bool(removed)


def insert_upload(tx: Transaction, upload: Upload) -> None:
    tx.run(
        "INSERT INTO uploads (id, repository_id, principal, hash_state, touched_at) "
        "VALUES (?, ?, ?, ?, ?)",
        upload.id,
        upload.repository_id,
        upload.principal,
        upload.hash_state,
        upload.touched_at,
    )


def find_upload(
    tx: Transaction, upload_id: str, repository_id: int, principal: str
) -> Upload | None:
    """Give the upload if it belongs to this repository and principal; locked in a write."""
    row = tx.one(
        f"SELECT {_UPLOAD} FROM uploads WHERE id = ? AND repository_id = ? AND principal = ? "  # noqa: S608 - a constant
        "FOR UPDATE",
        upload_id,
        repository_id,
        principal,
    )
    return None if row is None else _upload(row)


def update_upload(tx: Transaction, before: Upload, after: Upload) -> bool:
    """Write `after` if the row still stands as in `before`; tell whether it did."""
    return bool(
        tx.run(
            "UPDATE uploads SET size = ?, parts = ?, last_part_first_byte = ?, "
            "has_short_part = ?, hash_state = ?, touched_at = ?, blob_state = ?, claim = ? "
            "WHERE id = ? AND size = ? AND parts = ? AND claim = ? AND completed_digest IS NULL",
            after.size,
            after.parts,
            after.last_part_first_byte,
            int(after.has_short_part),
            after.hash_state,
            after.touched_at,
            after.blob_state,
            after.claim,
            before.id,
            before.size,
            before.parts,
            before.claim,
        )
    )


def find_claim(tx: Transaction, upload_id: str) -> tuple[str, float, bytes] | None:
    """Give an open upload's claim, when that is over, and the blob store's state."""
    row = tx.one(
        "SELECT claim, claim_until, blob_state FROM uploads "
        "WHERE id = ? AND completed_digest IS NULL",
        upload_id,
    )
    return None if row is None else (row[0], row[1], bytes(row[2]))


def take_claim(
    tx: Transaction,
    upload_id: str,
    before: tuple[str, bytes],
    after: tuple[str, bytes],
    until: float,
) -> bool:
    """Change claim and state of an open upload if they stand as in `before`."""
    return bool(
        tx.run(
            "UPDATE uploads SET claim = ?, blob_state = ?, claim_until = ? "
            "WHERE id = ? AND claim = ? AND blob_state = ? AND completed_digest IS NULL",
            *after,
            until,
            upload_id,
            *before,
        )
    )


def renew_claim(
    tx: Transaction, upload_id: str, claim: str, state: bytes, *, until: float, now: float
) -> bool:
    """Renew the claim and write the state, if the claim is still the row's."""
    return bool(
        tx.run(
            "UPDATE uploads SET blob_state = ?, claim_until = ?, touched_at = ? "
            "WHERE id = ? AND claim = ? AND completed_digest IS NULL",
            state,
            until,
            now,
            upload_id,
            claim,
        )
    )


def release_claim(tx: Transaction, upload_id: str, claim: str, state: bytes) -> bool:
    """Take the claim away and write the state, if the claim is still the row's."""
    return bool(
        tx.run(
            "UPDATE uploads SET blob_state = ?, claim = '' "
            "WHERE id = ? AND claim = ? AND completed_digest IS NULL",
            state,
            upload_id,
            claim,
        )
    )


def touch_upload(tx: Transaction, upload_id: str, now: float) -> None:
    tx.run("UPDATE uploads SET touched_at = ? WHERE id = ?", now, upload_id)


def complete_upload(
    tx: Transaction, upload_id: str, digest: Digest, now: float, *, existed: bool
) -> None:
    """Keep the answer of a completed upload."""
    tx.run(
        "UPDATE uploads SET completed_digest = ?, existed = ?, touched_at = ?, blob_state = ?, "
        "claim = '' WHERE id = ?",
        digest.text,
        int(existed),
        now,
        b"",
        upload_id,
    )


def delete_upload(tx: Transaction, upload_id: str, now: float) -> bool:
    """Take an open upload's row away; its bytes become garbage. False if there was none."""
    deleted = tx.all(
        "DELETE FROM uploads WHERE id = ? AND completed_digest IS NULL "
        "RETURNING id, size, blob_state",
        upload_id,
    )
    insert_garbage(tx, [Garbage(key, size, state=state) for key, size, state in deleted], now)
    return bool(deleted)


def end_uploads(tx: Transaction, repository_id: int, now: float) -> None:
    """Drop all uploads of the repository, which is locked; bytes of open ones become garbage."""
    rows = tx.all(
        "SELECT id, size, blob_state, completed_digest FROM uploads WHERE repository_id = ? "
        "ORDER BY id FOR UPDATE",
        repository_id,
    )
    open_ones = [Garbage(row[0], row[1], state=bytes(row[2])) for row in rows if row[3] is None]
    insert_garbage(tx, open_ones, now)
    tx.run("DELETE FROM uploads WHERE repository_id = ?", repository_id)


def _upload(row: Row) -> Upload:
    return Upload(
        id=row[0],
        repository_id=row[1],
        principal=row[2],
        size=row[3],
        parts=row[4],
        last_part_first_byte=row[5],
        has_short_part=bool(row[6]),
        hash_state=bytes(row[7]),
        touched_at=row[8],
        completed_digest=row[9],
        existed=bool(row[10]),
        blob_state=bytes(row[11]),
        claim=row[12],
    )
