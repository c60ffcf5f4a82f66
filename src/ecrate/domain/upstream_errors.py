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


class UpstreamError(Exception):
    """Why something could not be had of an upstream registry: any of those below.

    `upstream` is its host.
    """


@dataclass(eq=False)
class UpstreamNotFound(EcrateError, UpstreamError):
    text = "The upstream registry {upstream} has no such image or layer"
    upstream: str


@dataclass(eq=False)
class UpstreamAccessDenied(EcrateError, UpstreamError):
    text = "The upstream registry {upstream} refuses access: {reason}"
    upstream: str
    reason: str


@dataclass(eq=False)
class UpstreamTooManyRequests(EcrateError, UpstreamError):
    """The upstream asks to be left alone for `seconds` from now on."""

    text = (
        "The upstream registry {upstream} takes no more requests for the next {seconds} "
        "seconds: {reason}"
    )
    upstream: str
    reason: str
    seconds: int


@dataclass(eq=False)
class UpstreamUnavailable(EcrateError, UpstreamError):
    """It cannot be reached, or broke off, or took too long, or failed."""

    text = "The upstream registry {upstream} cannot be used: {reason}"
    upstream: str
    reason: str


@dataclass(eq=False)
class UpstreamContentRefused(EcrateError, UpstreamError):
    """What the upstream sent is not what it should be; none of it is kept."""

    text = "What the upstream registry {upstream} sent is refused: {reason}"
    upstream: str
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
