"""Who is calling."""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.names import RegistryRef


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal in the region it addressed.

    `arn` is what policies and error texts name; `access_key_id` is the key that signed.
    """

    arn: str
    access_key_id: str
    registry: RegistryRef
    is_anonymous: bool = False


def anonymous(registry: RegistryRef) -> Caller:
    """Give the caller who has no name, at a registry that lets such pull."""
    return Caller("anonymous", "", registry, is_anonymous=True)
