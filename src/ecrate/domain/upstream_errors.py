"""Every condition that pull through cache rules and their upstreams can end an operation in.

As in `domain.errors`, of which this is a part.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.errors import EcrateError


@dataclass(eq=False)
class PullThroughCacheRuleNotFound(EcrateError):
    text = (
        "The pull through cache rule with prefix '{prefix}' does not exist in the registry with "
        "id '{registry_id}'"  # [A]
    )
    prefix: str
    registry_id: str


@dataclass(eq=False)
class PullThroughCacheRuleAlreadyExists(EcrateError):
    text = (
        "A pull through cache rule with prefix '{prefix}' already exists in the registry with id "
        "'{registry_id}'"  # [A]
    )
    prefix: str
    registry_id: str


@dataclass(eq=False)
class UnsupportedUpstreamRegistry(EcrateError):
    text = "The upstream registry '{url}' is not supported: {reason}"  # [A]
    url: str
    reason: str


@dataclass(eq=False)
class SecretNotFound(EcrateError):
    text = "The secret with ARN '{arn}' does not exist"  # [A]
    arn: str


@dataclass(eq=False)
class UnableToAccessSecret(EcrateError):
    text = "The secret with ARN '{arn}' cannot be accessed: {reason}"  # [A]
    arn: str
    reason: str


@dataclass(eq=False)
class UnableToDecryptSecretValue(EcrateError):
    """The secret is there and is not what ECR's format says."""

    text = "The value of the secret with ARN '{arn}' cannot be used: {reason}"  # [A]
    arn: str
    reason: str


@dataclass(eq=False)
class UpstreamError(EcrateError):
    """Why something could not be had of an upstream registry; `upstream` is its host."""

    upstream: str


@dataclass(eq=False)
class UpstreamNotFound(UpstreamError):
    text = "The upstream registry {upstream} has no such image or layer"


@dataclass(eq=False)
class UpstreamAccessDenied(UpstreamError):
    text = "The upstream registry {upstream} refuses access: {reason}"
    reason: str


@dataclass(eq=False)
class UpstreamTooManyRequests(UpstreamError):
    """The upstream asks to be left alone for `seconds` from now on."""

    text = (
        "The upstream registry {upstream} takes no more requests for the next {seconds:.0f} "
        "seconds: {reason}"
    )
    reason: str
    seconds: float


@dataclass(eq=False)
class UpstreamUnavailable(UpstreamError):
    """It cannot be reached, or broke off, or took too long, or failed."""

    text = "The upstream registry {upstream} cannot be used: {reason}"
    reason: str


@dataclass(eq=False)
class UpstreamContentRefused(UpstreamError):
    """What the upstream sent is not what it should be; none of it is kept."""

    text = "What the upstream registry {upstream} sent is refused: {reason}"
    reason: str


@dataclass(eq=False)
class UnableToGetUpstreamImage(EcrateError):
    text = "The image cannot be got from upstream. {reason}"
    reason: str


@dataclass(eq=False)
class UnableToGetUpstreamLayer(EcrateError):
    text = "The layer cannot be got from upstream. {reason}"
    reason: str


@dataclass(eq=False)
class UnableToListUpstreamImageReferrers(EcrateError):
    text = "The referrers of the image cannot be got from upstream. {reason}"
    reason: str
