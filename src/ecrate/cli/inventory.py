"""What is in a repository: images with their tags, platforms and referrers, as a forest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ecrate.cli.ecr_repository import EcrRepository
from ecrate.cli.manifests import INDEXES, Document, platform_of
from ecrate.cli.repository import Repository, read_platform
from ecrate.cli.transfer import run_parallel


@dataclass(slots=True)
class Image:
    """One manifest or index. Times are epoch seconds; what is not known is None or empty.

    `size` is in bytes: of a manifest that of its blobs, of an index the sum of its children's.
    """

    digest: str
    media_type: str
    tags: list[str] = field(default_factory=list)
    size: int | None = None
    pushed_at: float | None = None
    pulled_at: float | None = None
    status: str = ""
    artifact_type: str | None = None
    subject: str | None = None
    platform: str = ""
    document: Document | None = field(default=None, repr=False)
    children: list[Image] = field(default_factory=list)
    referrers: list[Image] = field(default_factory=list)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def is_readable(self) -> bool:
        return self.status in ("", "ACTIVE")

    def below(self) -> Iterator[Image]:
        """Give the image, its children and what refers to any of them."""
        yield self
        for each in (*self.children, *self.referrers):
            yield from each.below()


class Inventory:
    """All images of one repository, by digest."""

    def __init__(
        self, repository: EcrRepository, *, jobs: int, with_manifests: bool = False
    ) -> None:
        """Ask for the images, and the documents of indexes or of all; raises `CommandError`."""
        self.repository = repository
        self.images = {each["imageDigest"]: _image(each) for each in repository.details()}
        # Archived images cannot be read.
        wanted = [
            each.digest
            for each in self.images.values()
            if each.is_readable and (with_manifests or each.is_index)
        ]
        for digest, document in repository.documents(wanted, jobs=jobs).items():
            self.images[digest].document = document
        self._parents: dict[str, list[Image]] = {}
        self._link()

    def _link(self) -> None:
        for image in self.images.values():
            for descriptor in image.document.children if image.document else ():
                child = self.images.get(descriptor["digest"])
                if child is not None and child not in image.children:
                    child.platform = child.platform or platform_of(descriptor)
                    image.children.append(child)
                    self._parents.setdefault(child.digest, []).append(image)
            if image.children:
                image.size = sum(child.size or 0 for child in image.children)
        for image in self.images.values():
            subject = self.images.get(image.subject or "")
            if subject is not None and subject is not image:
                subject.referrers.append(image)

    def roots(self) -> list[Image]:
        """Give the images that are no part of another, the newest first.

        Whatever has a tag is one of them.
        """
        parts = {other.digest for each in self.images.values() for other in each.referrers}
        parts |= self._parents.keys()
        found = [each for each in self.images.values() if each.tags or each.digest not in parts]
        return sorted(found, key=lambda each: -(each.pushed_at or 0))

    def parents(self, digest: str) -> list[Image]:
        """Give the indexes that name a manifest."""
        return self._parents.get(digest, [])


def _image(detail: dict[str, Any]) -> Image:
    return Image(
        digest=detail["imageDigest"],
        media_type=detail.get("imageManifestMediaType", ""),
        tags=sorted(detail.get("imageTags", ())),
        size=detail.get("imageSizeInBytes"),
        pushed_at=detail.get("imagePushedAt"),
        pulled_at=detail.get("lastRecordedPullTime"),
        status=detail.get("imageStatus", ""),
        artifact_type=detail.get("artifactMediaType"),
        subject=detail.get("subjectManifestDigest"),
    )


def read_image_tree(repository: Repository, document: Document, tags: Sequence[str]) -> Image:
    """Give one image of any repository with its children and referrers."""
    image = _node(repository, document)
    image.tags = list(tags)
    return image


def _node(repository: Repository, document: Document) -> Image:
    image = Image(
        digest=document.digest,
        media_type=document.media_type,
        artifact_type=document.artifact_type,
        subject=document.subject,
        document=document,
    )
    children = repository.find_all([each["digest"] for each in document.children])
    for descriptor, child in zip(document.children, children, strict=True):
        node = _node(repository, child)
        node.platform = platform_of(descriptor)
        image.children.append(node)
    sizes = {each["digest"]: each["size"] for each in document.blobs}
    image.size = sum(sizes.values()) + sum(each.size or 0 for each in image.children)
    for descriptor in repository.referrers(document.digest):
        image.referrers.append(_node(repository, repository.find(descriptor["digest"])))
    return image


def read_platforms(repository: Repository, images: Sequence[Image], jobs: int) -> None:
    """Fill in the platforms that only the images' configurations tell."""
    unknown = [
        each
        for each in images
        if each.is_readable and not (each.platform or each.is_index or each.subject)
    ]
    missing = [each.digest for each in unknown if each.document is None]
    documents = {each.digest: each for each in repository.find_all(missing)}

    def read(image: Image) -> None:
        image.document = image.document or documents[image.digest]
        image.platform = read_platform(repository, image.document)

    tasks = [partial(read, image) for image in unknown]
    run_parallel(tasks, jobs=jobs, connections=repository.connections)


def time_text(moment: float | None) -> str:
    """Give a time as people here read it."""
    if moment is None:
        return "-"
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def time_json(moment: float | None) -> str | None:
    """Give a time as machines read it."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
