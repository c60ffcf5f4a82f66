"""Pull gates: set by operators, asked at every pull from the repositories that have one.

Gated is the manifest: whoever has that gets the layers. What no container can be made of, such as
signatures, and whoever is exempt, passes. A platform of an index that is signed counts as signed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ecrate.domain.errors import (
    AuditUnavailable,
    ImageNotFound,
    InvalidParameter,
    PullGateNotFound,
    PullRefused,
)
from ecrate.domain.gates import ENFORCE, Counts, PullGate, added
from ecrate.domain.images import Image
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.registry import covers_principal
from ecrate.domain.repositories import Repository
from ecrate.operations.audit import record_gate
from ecrate.operations.core import Core
from ecrate.operations.verdicts import Verdict
from ecrate.signers.images import (
    MOST,
    SIGNATURE_TYPES,
    Signature,
    Target,
    can_run,
    cosign_tag,
    signatures_in,
)
from ecrate.signers.port import BadSignatureError, SignerError
from ecrate.store import gates as store
from ecrate.store import images
from ecrate.store.layers import find_layer
from ecrate.store.repositories import find_repository

if TYPE_CHECKING:
    from ecrate.signers.trust import Trust

_LOG: Final = logging.getLogger("ecrate")
# A signature that is not yet valid may be so some time later.
_DOUBTED_FOR: Final = 60.0
_DEEPEST: Final = 4
_MOST_IMAGES: Final = 200


def put_gate(core: Core, ref: RepositoryRef, gate: PullGate) -> None:
    """Ask this of whatever is pulled from the repository from now on; for operators.

    Raises `RepositoryNotFound`, `InvalidParameter`.
    """
    gate.check()
    if core.findings is None and (gate.highest_severity or gate.needs_scan):
        raise InvalidParameter("highestSeverity", "This server does not scan images")
    if gate.trusted:
        try:
            _trust(gate.trusted)
        except SignerError as error:
            raise InvalidParameter("trusted", str(error)) from None
    with core.database.write() as tx:
        store.put_gate(tx, find_repository(tx, ref).id, gate, core.clock())


def delete_gate(core: Core, ref: RepositoryRef) -> None:
    """Ask for nothing any more; raises `RepositoryNotFound`, `PullGateNotFound`."""
    with core.database.write() as tx:
        if not store.delete_gate(tx, find_repository(tx, ref).id):
            raise PullGateNotFound(ref.name, ref.registry.id)


def list_gates(core: Core) -> list[tuple[RepositoryRef, PullGate]]:
    """Give the gates of all registries, in order; for operators."""
    with core.database.read() as tx:
        return store.list_gates(tx)


def explain(core: Core, ref: RepositoryRef, image_id: ImageId) -> tuple[PullGate, str | None]:
    """Give the repository's gate, and what it has against an image; for operators.

    Raises `RepositoryNotFound`, `PullGateNotFound`, `ImageNotFound`.
    """
    with core.database.look() as tx:
        repository = find_repository(tx, ref)
        gate = store.find_gate(tx, repository.id)
        _, image = images.open_image(tx, ref, image_id)
    if gate is None:
        raise PullGateNotFound(ref.name, ref.registry.id)
    if image is None:
        digest = "null" if image_id.digest is None else image_id.digest.text
        raise ImageNotFound(digest, image_id.tag or "null", ref.name, ref.registry.id)
    return gate, find_objection(core, repository, image, gate)


def check_pull(core: Core, caller: Caller, repository: Repository, image: Image) -> None:
    """Raise `PullRefused` where the repository's gate is enforced and has something against the
    image; in a dry run, only tell of it.
    """
    with core.database.look() as tx:
        gate = store.find_gate(tx, repository.id)
    if gate is None or any(covers_principal(arn, caller.arn) for arn in gate.exempt):
        return
    reason = find_objection(core, repository, image, gate)
    if reason is None:
        return
    is_enforced = gate.mode == ENFORCE
    _LOG.warning(
        "pull gate: %s %s@%s for %s: %s",
        "refused" if is_enforced else "would refuse",
        repository.ref.name,
        image.digest,
        caller.arn,
        reason,
    )
    with suppress(AuditUnavailable):  # a pull needs no room
        record_gate(core, caller, repository.ref, image.digest, reason, mode=gate.mode)
    if is_enforced:
        raise PullRefused(image.digest.text, repository.ref.name, reason)


def find_objection(core: Core, repository: Repository, image: Image, gate: PullGate) -> str | None:
    """Tell what a gate has against an image, None where it has nothing."""
    content = _read(core, image)
    if not can_run(_document(content), has_subject=image.subject is not None):
        return None
    if gate.trusted and _find_signer(core, repository, image, gate.trusted) is None:
        return "nobody who is trusted has signed it"
    if gate.highest_severity is None and not gate.needs_scan:
        return None
    return gate.objection(_count_findings(core, image))


def _find_signer(
    core: Core, repository: Repository, image: Image, trusted: tuple[str, ...]
) -> str | None:
    """Give who that is trusted has signed the image, or an index that lists it."""
    level, seen = [image], {image.id}
    for _ in range(_DEEPEST):
        for one in level:
            signer = _signer_of(core, repository, one, trusted)
            if signer is not None:
                return signer
        with core.database.look() as tx:
            above = [digest for one in level for digest in images.list_indexes_of(tx, one.id)]
            found = images.find_images(tx, repository.id, above[:_MOST_IMAGES])
        level = [one for one in found.values() if one.id not in seen]
        seen |= {one.id for one in level}
        if not level:
            break
    return None


def _signer_of(
    core: Core, repository: Repository, image: Image, trusted: tuple[str, ...]
) -> str | None:
    """Give who that is trusted has signed this very image."""
    now = core.clock()
    with core.database.look() as tx:
        listed = images.list_referrers(
            tx,
            repository.id,
            image.digest.text,
            artifact_types=SIGNATURE_TYPES,
            storage="ANY",
            after=0,
            limit=MOST,
            now=now,
        )
        held = images.find_images(tx, repository.id, [one.digest.text for one in listed])
        tagged = images.find_tagged_image(tx, repository.id, cosign_tag(image.digest.text))
    holders = [*held.values(), *([tagged] if tagged is not None else [])]
    target: Target | None = None
    scope = hashlib.sha256(f"{image.id}\0{trusted}".encode()).hexdigest()
    for holder in holders:
        for number, signature in enumerate(signatures_in(_document(_read(core, holder)))):
            key = (holder.id, number, scope)
            verdict = core.verdicts.get(key, now)
            if verdict is None:
                if target is None:
                    size = len(_read(core, image))
                    target = Target(image.media_type, image.digest.text, size)
                verdict = _check(core, repository, signature, target, trusted)
                core.verdicts.put(key, verdict)
            if verdict.signer is not None:
                return verdict.signer
    return None


def _check(
    core: Core,
    repository: Repository,
    signature: Signature,
    target: Target,
    trusted: tuple[str, ...],
) -> Verdict:
    # Not before: `cryptography` comes with it, which takes its time.
    from ecrate.signers.checking import check_signature  # noqa: PLC0415

    now = core.clock()
    try:
        content = _read_layer(core, repository, signature)
        found = check_signature(signature, content, target, _trust(trusted), now)
    except BadSignatureError:
        return Verdict(None, now + _DOUBTED_FOR)
    return Verdict(found.signer, found.until)


def _read_layer(core: Core, repository: Repository, signature: Signature) -> bytes:
    """Give a signature's layer; raises `BadSignatureError` where it is not there, or not small."""
    with core.database.look() as tx:
        layer = find_layer(tx, repository.id, signature.digest)
    if layer is None or layer.size != signature.size:
        raise BadSignatureError("its layer is not there")
    try:
        with core.blobs.open_blob(layer.key) as file:
            return file.read(layer.size)
    except FileNotFoundError:
        raise BadSignatureError("its layer is lost") from None


@functools.lru_cache(maxsize=256)
def _trust(trusted: tuple[str, ...]) -> Trust:
    from ecrate.signers.trust import Trust  # noqa: PLC0415 - as above

    return Trust.parse("\n".join(trusted).encode())


def _count_findings(core: Core, image: Image) -> Counts:
    """Give the findings of an image, or of all that an index lists together."""
    counts: Counts = None
    level, seen = [image], {image.id}
    if core.findings is None:
        return None
    with core.database.look() as tx:
        for _ in range(_DEEPEST):
            below: list[Image] = []
            for one in level:
                counts = added(counts, core.findings(tx, one.id))
                below += images.list_children(tx, one.id)
            level = [one for one in below[:_MOST_IMAGES] if one.id not in seen]
            seen |= {one.id for one in level}
            if not level:
                break
    return counts


def _read(core: Core, image: Image) -> bytes:
    """Give an image's manifest; raises `ImageNotFound` when it is gone."""
    content = core.manifests.get(image.id)
    if content is None:
        with core.database.look() as tx:
            content = images.read_manifest(tx, image.id)
        if content is None:
            raise ImageNotFound(image.digest.text, "null", "", "")
    return content


def _document(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content)
    return found
