"""An image on its way into a repository: the blobs that are missing, then its manifests."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ecrate.cli.failures import SERVICE_ERROR, CommandError, ServiceError
from ecrate.cli.manifests import Blob, Manifest
from ecrate.cli.progress import Progress
from ecrate.cli.repository import Repository
from ecrate.cli.transfer import run_parallel


@dataclass(slots=True)
class ImagePush:
    """`create` makes the repository where it is missing; `mounted_from` is one of the same
    registry that has the blobs. `results` says of each blob how it came there.
    """

    repository: Repository
    progress: Progress
    jobs: int
    create: bool
    mounted_from: str | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def blobs(self, image: Manifest) -> None:
        """Bring what is not there yet."""
        blobs = image.all_blobs()
        present = self.present(list(blobs))
        for digest in blobs:
            if digest in present:
                self.progress.finish(digest, "already there")
                self._note(blobs[digest], "already there")
        missing = [blob for digest, blob in blobs.items() if digest not in present]
        run_parallel(
            [partial(self._bring, blob) for blob in missing],
            jobs=self.jobs,
            connections=self.repository.connections,
        )

    def _bring(self, blob: Blob) -> None:
        source = self.mounted_from
        if source is not None and self.repository.mount(blob.digest, source):
            self.progress.finish(blob.digest, "mounted", f"from {source}")
            self._note(blob, "mounted")
        else:
            self._note(blob, self.repository.upload(blob, self.progress))

    def _note(self, blob: Blob, result: str) -> None:
        found = {"digest": blob.digest, "size": blob.size, "result": result}
        self.results.setdefault(blob.digest, found)

    def manifests(self, image: Manifest, tag: str | None) -> None:
        """Put the children by their digests, then the image under its tag."""
        for manifest in image.bottom_up():
            self.repository.put(manifest, tag if manifest is image else None)

    def present(self, digests: list[str]) -> set[str]:
        """Give those of the blobs that are there; a missing repository is found out here."""
        try:
            return self.repository.present(digests)
        except ServiceError as error:
            if error.code != "RepositoryNotFoundException":
                raise
            name = self.repository.name
            if not self.create:
                raise CommandError(
                    f"{error}\nCreate it with `ecrate ecr create-repository --repository-name "
                    f"{name}`, or use --create.",
                    SERVICE_ERROR,
                ) from None
        self.repository.create()
        return set()
