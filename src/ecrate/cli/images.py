"""Images as commands on the data directory name them: REPOSITORY[:TAG|@DIGEST]."""

from __future__ import annotations

from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef


def parse_image(registry: RegistryRef, text: str) -> tuple[RepositoryRef, ImageId]:
    """Read one, of the tag `latest` where it names none; raises `InvalidParameter`."""
    name, at, digest = text.partition("@")
    if at:
        return RepositoryRef.parse(registry, name), ImageId(Digest.parse(digest))
    name, _, tag = name.partition(":")
    return RepositoryRef.parse(registry, name), ImageId(tag=tag or "latest")
