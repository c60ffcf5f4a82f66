"""Layers of an image whose bytes come as files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from ecrate.domain.errors import ImportRefused
from ecrate.domain.images import Descriptor, Manifest
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.operations.core import Core
from ecrate.operations.intake import Intake, Named, open_file
from ecrate.operations.parallel import each
from ecrate.operations.uploads import link_layer
from ecrate.store import layers
from ecrate.store.repositories import find_repository

_JOBS: Final = 8


class LayerIntake:
    """Makes layers those of a repository, from the files that `find` gives; `count` and `size`
    are of what was new.
    """

    def __init__(self, core: Core, intake: Intake, find: Callable[[Digest], Path]) -> None:
        self._core = core
        self._intake = intake
        self._find = find
        self.count = 0
        self.size = 0

    def bring(self, ref: RepositoryRef, manifest: Manifest) -> None:
        """Bring all layers of an image that the repository lacks; raises `ImportRefused`."""
        wanted = {one.digest: one for one in manifest.layers}
        with self._core.database.look() as tx:
            repository = find_repository(tx, ref)
            there = layers.list_blob_ids(tx, repository.id, [one.text for one in wanted])
        missing = [one for digest, one in wanted.items() if digest.text not in there]
        jobs = 1 if self._core.blobs.is_local else _JOBS
        for layer, is_there in each(partial(self._bring, ref), missing, jobs=jobs):
            if not is_there and not layer.is_foreign:
                raise ImportRefused(f"the bytes of its layer {layer.digest} are gone or damaged")

    def _bring(self, ref: RepositoryRef, layer: Descriptor) -> tuple[Descriptor, bool]:
        """Make the layer one of the repository; tell whether it could be."""
        if link_layer(self._core, ref, layer.digest, None):
            return layer, True
        file = self._find(layer.digest)
        new = Named(layer.digest.text, self._core.new_id(), layer.size)
        if not self._intake.bring(new, partial(open_file, file), file):
            return layer, False
        link_layer(self._core, ref, layer.digest, new)
        self.count += 1
        self.size += layer.size
        return layer, True
