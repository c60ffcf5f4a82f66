"""Events: what happened to images, in the shapes that ECR sends to EventBridge.

Source: ECR User Guide, "Amazon ECR events and EventBridge"; dossier section 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ecrate.domain.images import Image, Manifest
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.values import value

IMAGE_ACTION: Final = "ECR Image Action"
REFERRER_ACTION: Final = "ECR Referrer Action"
REPLICATION_ACTION: Final = "ECR Replication Action"
PULL_THROUGH_CACHE_ACTION: Final = "ECR Pull Through Cache Action"
# Kinds whose `resources` name the repository.
_ABOUT_REPOSITORY: Final = frozenset(
    {"ECR Image Scan", REPLICATION_ACTION, PULL_THROUGH_CACHE_ACTION}
)


@dataclass(frozen=True, slots=True)
class Event:
    """`position` orders the events of a server; `kind` is EventBridge's detail-type; `actor` the
    ARN of who did it, or the name of the background work; `happened_at` in epoch seconds.
    """

    position: int
    id: str
    registry: RegistryRef
    repository: str
    kind: str
    actor: str
    happened_at: float
    detail: Mapping[str, object]

    def envelope(self) -> dict[str, object]:
        """Give the whole event as EventBridge delivers it."""
        moment = datetime.fromtimestamp(self.happened_at, UTC)
        arn = RepositoryRef(self.registry, self.repository).arn
        return {
            "version": "0",
            "id": self.id,
            "detail-type": self.kind,
            "source": "aws.ecr",
            "account": self.registry.id,
            "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.registry.region,
            "resources": [arn] if self.kind in _ABOUT_REPOSITORY else [],
            "detail": self.detail,
        }


@value
class ImageAction:
    """PUSH, DELETE or UPDATE_STORAGE_CLASS of an image, by one of its tags or by none."""

    name: str
    digest: str
    tag: str | None
    media_type: str
    artifact_media_type: str | None
    is_referrer: bool
    storage_class: str = ""
    activated_at: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        image: Image | Manifest,
        tag: str | None = None,
        *,
        storage_class: str = "",
        activated_at: float | None = None,
    ) -> ImageAction:
        return cls(
            name=name,
            digest=image.digest.text,
            tag=tag,
            media_type=image.media_type,
            artifact_media_type=image.artifact_media_type,
            is_referrer=image.subject is not None,
            storage_class=storage_class,
            activated_at=activated_at,
        )

    @property
    def kind(self) -> str:
        return REFERRER_ACTION if self.is_referrer else IMAGE_ACTION

    def detail(self, repository: str) -> dict[str, object]:
        """Give the event's `detail`."""
        detail: dict[str, object] = {
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": self.digest,
            "action-type": self.name,
        }
        if self.tag is not None:
            detail["image-tag"] = self.tag
        detail["manifest-media-type"] = self.media_type
        if self.artifact_media_type is not None:
            detail["artifact-media-type"] = self.artifact_media_type
        if self.storage_class:
            detail["target-storage-class"] = self.storage_class
        if self.activated_at is not None:
            moment = datetime.fromtimestamp(self.activated_at, UTC)
            detail["last-activated-at"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return detail


@value
class PullThroughCacheAction:
    """A tag or digest was compared with upstream's, or could not be: then there is a failure, its
    code and its reason.
    """

    prefix: str
    upstream_url: str
    tag: str | None
    digest: str | None
    failure: tuple[str, str] | None = None

    def detail(self, repository: str) -> dict[str, object]:
        """Give the event's `detail`."""
        detail: dict[str, object] = {
            "rule-version": "1",
            "sync-status": "SUCCESS" if self.failure is None else "FAILED",
            "ecr-repository-prefix": self.prefix,
            "repository-name": repository,
            "upstream-registry-url": self.upstream_url,
        }
        if self.tag is not None:
            detail["image-tag"] = self.tag
        if self.digest is not None:
            detail["image-digest"] = self.digest
        if self.failure is not None:
            detail["failure-code"], detail["failure-reason"] = self.failure
        return detail


@value
class ReplicationAction:
    """An image came from another registry of this server, or did not."""

    source: RegistryRef
    digest: str
    tag: str | None
    has_failed: bool = False

    def detail(self, repository: str) -> dict[str, object]:
        """Give the event's `detail`."""
        detail: dict[str, object] = {
            "result": "FAILED" if self.has_failed else "SUCCESS",
            "repository-name": repository,
            "image-digest": self.digest,
            "source-account": self.source.id,
            "action-type": "REPLICATE",
            "source-region": self.source.region,
        }
        if self.tag is not None:
            detail["image-tag"] = self.tag
        return detail
