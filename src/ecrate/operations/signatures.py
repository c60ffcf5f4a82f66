"""Signatures of images: made by a profile, and put beside the image as what refers to it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ecrate import __version__
from ecrate.domain.errors import ImageAlreadyExists, ImageNotFound, SigningFailed
from ecrate.domain.images import OCI_MANIFEST, parse_manifest
from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.operations.core import Core
from ecrate.operations.images import find_existing, put_image, read_manifest
from ecrate.operations.intake import Named
from ecrate.operations.uploads import link_layer
from ecrate.signers.images import (
    COSIGN_TYPE,
    ENVELOPE_TYPE,
    NOTARY_TYPE,
    PAYLOAD_TYPE,
    Target,
    cosign_tag,
)
from ecrate.signers.port import COSIGN, NOTARY, Signer
from ecrate.signers.profiles import Profile
from ecrate.store import images as store
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository

if TYPE_CHECKING:
    Descriptor = dict[str, Any]

# Whom events name that tell of signatures put here, and the reader that follows the others.
ACTOR: Final = "signing"
_AGENT: Final = f"ecrate/{__version__}"
_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_EMPTY: Final = b"{}"


@dataclass(frozen=True, slots=True)
class _Subject:
    """The image that is signed, and by whom."""

    ref: RepositoryRef
    target: Target
    signer: Signer


def find_profile(core: Core, registry: RegistryRef, name: str) -> Profile:
    """Give the profile of a name that the registry's account may use.

    Raises `SignerError`, `SigningFailed`.
    """
    if core.profiles is None:
        raise SigningFailed("this server has no signing profiles")
    profile = core.profiles.find(name)
    if registry.id not in (profile.accounts or (core.default_registry.id,)):
        raise SigningFailed(f"the signing profile {name} is not for the account {registry.id}")
    return profile


def find_digest(core: Core, ref: RepositoryRef, image_id: ImageId) -> Digest:
    """Give the digest of an image, for operators; raises `ImageNotFound`."""
    with core.database.look() as tx:
        return find_existing(tx, find_repository(tx, ref), image_id).digest


def sign_image(core: Core, ref: RepositoryRef, digest: Digest, name: str) -> list[Digest]:
    """Sign an image by a profile, in each of its formats; give the signatures' digests.

    Raises `SignerError`, `SigningFailed`, and what putting an image does.
    """
    profile = find_profile(core, ref.registry, name)
    with core.database.look() as tx:
        image = find_existing(tx, find_repository(tx, ref), ImageId(digest))
    content = read_manifest(core, image)
    target = Target(image.media_type, digest.text, len(content))
    subject = _Subject(ref, target, profile.open())
    return [_put(core, subject, form) for form in profile.formats]


def _put(core: Core, subject: _Subject, form: str) -> Digest:
    """Make the signature of one form, and put it."""
    if form == NOTARY:
        return _put_notary(core, subject)
    # Not before: `cryptography` comes with it, which takes its time.
    from ecrate.signers import cosign  # noqa: PLC0415

    payload, annotations = cosign.sign(
        subject.signer, subject.target, subject.ref.name, _AGENT, core.clock()
    )
    layer = _store(core, subject.ref, payload, PAYLOAD_TYPE) | {"annotations": annotations}
    if form == COSIGN:
        config = _store(core, subject.ref, _config([layer]), COSIGN_TYPE)
        return _put_manifest(core, subject, config, [layer], {"subject": _subject(subject)})
    return _put_tagged(core, subject, layer)


def _put_notary(core: Core, subject: _Subject) -> Digest:
    from ecrate.signers import notary  # noqa: PLC0415 - as above

    envelope = notary.sign(subject.signer, subject.target, core.clock(), _AGENT)
    layer = _store(core, subject.ref, envelope, ENVELOPE_TYPE)
    config = _store(core, subject.ref, _EMPTY, NOTARY_TYPE)
    more = {
        "subject": _subject(subject),
        "annotations": notary.annotations_for(subject.signer),
    }
    return _put_manifest(core, subject, config, [layer], more)


def _put_tagged(core: Core, subject: _Subject, layer: Descriptor) -> Digest:
    """Put the signature under cosign's tag, with those that are there."""
    tag = cosign_tag(subject.target.digest)
    with core.database.look() as tx:
        repository = find_repository(tx, subject.ref)
        there = store.find_tagged_image(tx, repository.id, tag)
    layers = [layer]
    if there is not None:
        found = json.loads(read_manifest(core, there))
        layers = [*found.get("layers", []), layer]
    config = _store(core, subject.ref, _config(layers), _CONFIG_TYPE)
    return _put_manifest(core, subject, config, layers, {}, tags=[tag])


def _put_manifest(
    core: Core,
    subject: _Subject,
    config: Descriptor,
    layers: Sequence[Descriptor],
    more: Mapping[str, object],
    *,
    tags: Sequence[str] = (),
) -> Digest:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": layers,
        **more,
    }
    manifest = parse_manifest(json.dumps(document, separators=(",", ":")).encode())

    def open_for_signer(tx: Transaction, _: Caller, ref: RepositoryRef, __: str) -> Repository:
        # The registry itself signs, whoever may push; and nothing that is gone.
        repository = find_repository(tx, ref)
        if store.find_image(tx, repository.id, subject.target.digest) is None:
            raise ImageNotFound(subject.target.digest, "null", ref.name, ref.registry.id)
        return repository

    registry = subject.ref.registry
    caller = Caller(f"arn:aws:iam::{registry.id}:root", "", registry, is_root=True)
    # The same signature again, as RSA gives it, is as good as the first time.
    with suppress(ImageAlreadyExists):
        put_image(core, caller, subject.ref, manifest, tags, opened_by=open_for_signer, actor=ACTOR)
    return manifest.digest


def _store(core: Core, ref: RepositoryRef, content: bytes, media_type: str) -> Descriptor:
    """Make a layer of the repository, and give its descriptor."""
    digest = Digest.of(content)
    if not link_layer(core, ref, digest, None):
        key = core.new_id()
        core.blobs.put(key, io.BytesIO(content), len(content))
        link_layer(core, ref, digest, Named(digest.text, key, len(content)))
    return {"mediaType": media_type, "digest": digest.text, "size": len(content)}


def _subject(subject: _Subject) -> Descriptor:
    target = subject.target
    return {"mediaType": target.media_type, "digest": target.digest, "size": target.size}


def _config(layers: Sequence[Descriptor]) -> bytes:
    """Give the configuration that cosign expects beside its signatures."""
    digests = [layer["digest"] for layer in layers]
    document = {
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    return json.dumps(document, separators=(",", ":")).encode()
