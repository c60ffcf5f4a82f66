"""Names and identifiers, typed at birth: a value of one of these types is well formed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.values import value

# The tests compare this with the service model's pattern for RepositoryName.
REPOSITORY_NAME_PATTERN: Final = (
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
)
DIGEST_PATTERN: Final = r"[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+"
TAG_PATTERN: Final = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"

_REPOSITORY_NAME = re.compile(REPOSITORY_NAME_PATTERN)
_TAG = re.compile(TAG_PATTERN)
_REPOSITORY_ARN = re.compile(r"arn:aws[a-z-]*:ecr:([a-z0-9-]+):([0-9]{12}):repository/(.+)")
_HEX_LENGTHS: Final = {"sha256": 64, "sha512": 128}
ALGORITHMS: Final = tuple(_HEX_LENGTHS)
_HEX = re.compile(r"[a-f0-9]+")
_REGISTRY_ID = re.compile(r"[0-9]{12}")
_NAME_LENGTHS: Final = range(2, 257)


@value
class RegistryRef:
    """One registry: an account's in a region. `id` is the 12 digit account id."""

    id: str
    region: str

    @staticmethod
    def is_id(text: str) -> bool:
        """Tell whether `text` can be an account id."""
        return _REGISTRY_ID.fullmatch(text) is not None


@value
class RepositoryRef:
    """A repository by name; it may or may not exist."""

    registry: RegistryRef
    name: str

    @classmethod
    def parse(cls, registry: RegistryRef, name: str) -> RepositoryRef:
        """Raise `InvalidParameter` unless `name` fits ECR's grammar and 2 to 256 characters."""
        if not is_repository_name(name):
            # AWS: text as recorded by other implementations' tests; the outer quote stays open.
            raise InvalidParameter(
                "repositoryName",
                "must satisfy regular expression "
                "'(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*",
            )
        return cls(registry, name)

    @classmethod
    def parse_arn(cls, arn: str) -> RepositoryRef:
        """Raise `InvalidParameter` unless it is the ARN of a repository."""
        match = _REPOSITORY_ARN.fullmatch(arn)
        if match is None or not is_repository_name(match[3]):
            raise InvalidParameter("resourceArn", "Invalid ARN")
        return cls(RegistryRef(match[2], match[1]), match[3])

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{self.registry.region}:{self.registry.id}:repository/{self.name}"


@value
class Digest:
    """A content digest, `sha256:<64 hex>` or `sha512:<128 hex>`, lower case.

    Source: OCI image-spec, descriptor.md, "Digests".
    """

    text: str

    @classmethod
    def parse(
        cls, text: str, member: str = "imageDigest", *, algorithms: Sequence[str] = ALGORITHMS
    ) -> Digest:
        """Raise `InvalidParameter` naming `member` unless `text` is a digest we can check, of
        one of the `algorithms`.
        """
        algorithm, _, encoded = text.partition(":")
        is_known = algorithm in algorithms and len(encoded) == _HEX_LENGTHS[algorithm]
        if not is_known or _HEX.fullmatch(encoded) is None:
            raise InvalidParameter(
                member, f"Member must satisfy regular expression pattern: {DIGEST_PATTERN}"
            )
        return cls(text)

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """Give the sha256 digest of these bytes."""
        return cls(f"sha256:{hashlib.sha256(content).hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.text.partition(":")[0]

    def fits(self, content: bytes) -> bool:
        """Tell whether it is the digest of these bytes."""
        return self.text == f"{self.algorithm}:{hashlib.new(self.algorithm, content).hexdigest()}"

    @override
    def __str__(self) -> str:
        return self.text


def is_repository_name(text: str) -> bool:
    """Tell whether `text` fits ECR's grammar of repository names and has 2 to 256 characters."""
    return len(text) in _NAME_LENGTHS and _REPOSITORY_NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether `text` is a tag: 1 to 128 characters of the distribution grammar."""
    return _TAG.fullmatch(text) is not None


@value
class ImageId:
    """How a client names an image: by digest, by tag, or by both, which must then agree."""

    digest: Digest | None = None
    tag: str | None = None
