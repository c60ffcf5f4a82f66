"""Layers, uploads and the rules for an upload's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ecrate.domain.names import Digest
from ecrate.domain.values import value

MIB: Final = 1024 * 1024
# AWS: quotas page and API reference of UploadLayerPart.
PART_SIZE: Final = 10 * MIB
MAX_PART_SIZE: Final = 20 * MIB
MIN_PART_SIZE: Final = 5 * MIB
MAX_PARTS: Final = 4_200
MAX_LAYER_SIZE: Final = 52_000 * MIB


@value
class Layer:
    """A layer as one repository has it. `key` is where the blob store keeps its bytes."""

    blob_id: int
    digest: Digest
    size: int
    key: str
    touched_at: float


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload's row: everything another worker needs to go on with it.

    `size` counts the bytes kept so far; `hash_state` is the digest's state after exactly that
    many, empty where it cannot be resumed. `blob_state` is the blob store's own, and `claim` names
    the writer whose turn it is, where the blob store cannot tell. `completed_digest` is set once
    the layer is stored; `existed` then tells that the repository had the layer before.
    """

    id: str
    repository_id: int
    principal: str
    size: int = 0
    parts: int = 0
    last_part_first_byte: int = 0
    has_short_part: bool = False
    hash_state: bytes = b""
    touched_at: float = 0.0
    completed_digest: str | None = None
    existed: bool = False
    blob_state: bytes = b""
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The byte range of an UploadLayerPart call; both ends count."""

    first_byte: int
    last_byte: int

    @property
    def size(self) -> int:
        return self.last_byte - self.first_byte + 1

    def repeats(self, upload: Upload) -> bool:
        """Tell whether exactly this part was the last one accepted (a retry) [A]."""
        return (
            upload.parts > 0
            and self.last_byte + 1 == upload.size
            and self.first_byte == upload.last_part_first_byte
        )
