"""Images that hold signatures: what they are signatures of, and which of them are images at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ecrate.signers.port import COSIGN, NOTARY, BadSignatureError

ENVELOPE_TYPE: Final = "application/jose+json"
PAYLOAD_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
NOTARY_TYPE: Final = "application/vnd.cncf.notary.signature"
# Source: cosign, "OCI 1.1 mode": the type of an image that refers to the one it signs.
COSIGN_TYPE: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE_TYPES: Final = (NOTARY_TYPE, COSIGN_TYPE)
LARGEST: Final = 4 * 1024 * 1024
# An image of cosign's may have several.
MOST: Final = 50
_FORMS: Final = {ENVELOPE_TYPE: NOTARY, PAYLOAD_TYPE: COSIGN}
_CONFIGS: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """The image that is signed: its manifest's type, digest and size."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Who has signed, and until when that counts (epoch seconds)."""

    signer: str
    until: float


@dataclass(frozen=True, slots=True)
class Signature:
    """One in an image: its form, NOTARY or COSIGN, and the layer that has it."""

    form: str
    digest: str
    size: int
    annotations: dict[str, str] = field(default_factory=dict)


def signatures_in(manifest: Mapping[str, Any]) -> Iterator[Signature]:
    """Give the signatures in an image's manifest that can be looked at here."""
    layers = manifest.get("layers")
    for layer in (layers if isinstance(layers, list) else [])[:MOST]:
        if not isinstance(layer, dict):
            continue
        form, size = _FORMS.get(str(layer.get("mediaType"))), layer.get("size")
        annotations = layer.get("annotations")
        if form is not None and isinstance(size, int) and 0 < size <= LARGEST:
            yield Signature(
                form,
                str(layer.get("digest")),
                size,
                annotations if isinstance(annotations, dict) else {},
            )


def is_signature(artifact_type: str | None, layer_types: Sequence[str]) -> bool:
    """Tell whether an image, by its artifact type and its layers, is a signature itself."""
    has_signatures = bool(layer_types) and all(one == PAYLOAD_TYPE for one in layer_types)
    return artifact_type in SIGNATURE_TYPES or has_signatures


def can_run(manifest: Mapping[str, Any], *, has_subject: bool) -> bool:
    """Tell whether a container could be made of an image.

    Not of one that says what it is about and has no configuration of a container, nor of one that
    has nothing but cosign's signatures: no runtime unpacks those.
    """
    config, layers = manifest.get("config"), manifest.get("layers")
    if not isinstance(config, dict) or not isinstance(layers, list):
        return True
    if has_subject and config.get("mediaType") not in _CONFIGS:
        return False
    types = [layer.get("mediaType") if isinstance(layer, dict) else None for layer in layers]
    return not types or any(one != PAYLOAD_TYPE for one in types)


def cosign_tag(digest: str) -> str:
    """Give the tag under which cosign looks for signatures of a digest."""
    return f"{digest.replace(':', '-')}.sig"


def refers_to(descriptor: object, target: Target) -> None:
    """Raise `BadSignatureError` unless a signed descriptor is the target's."""
    found = descriptor if isinstance(descriptor, dict) else {}
    given = (found.get("mediaType"), found.get("digest"), found.get("size"))
    if given != (target.media_type, target.digest, target.size):
        raise BadSignatureError(f"it is the signature of another image: {found.get('digest')}")
