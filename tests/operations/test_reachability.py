"""Whatever is pushed, tagged, deleted, restored and collected in whatever order: what is listed
pulls.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from ecrate.domain.errors import EcrateError
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.trash import Origin
from ecrate.operations import deletions, images, repositories, trash
from ecrate.operations.collection import collect, collect_strays
from tests.support.audit import audit_data, audit_rows
from tests.support.core import HOUR, Bench
from tests.support.images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, digest_of
from tests.support.postgres import Postgres

LAYERS = tuple(Blob(f"layer {number}".encode()) for number in range(4))
CONFIG = Blob(b"{}", OCI_CONFIG)

names = st.sampled_from(["one", "two"])
tags = st.sampled_from(["a", "b"])
numbers = st.integers(0, 5)


class Registry(RuleBasedStateMachine):
    """Two repositories, few layers and few tags, so that everything is shared."""

    postgres: Postgres | None = None

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="ecrate-test-"))
        self.opened.callback(shutil.rmtree, self.folder)
        url = self.opened.enter_context(self.postgres.prepared()) if self.postgres else ""
        self.bench = Bench(self.folder, url)
        self.opened.callback(self.bench.close)
        self.create("one")
        self.create("two")

    @override
    def teardown(self) -> None:
        """In the end everything goes, and nothing may be left behind."""
        if self.postgres is None:
            problems = list(audit_data(self.folder))
        else:
            with self.bench.reading() as tx:
                problems = list(audit_rows(tx.all, self.folder))
        self.delete_repository("one")
        self.delete_repository("two")
        for hours in (8 * 24, 25, 1):
            self.wait_and_collect(hours)
        left = self.bench.files()
        with self.bench.reading() as tx:
            rows = tx.all("SELECT digest FROM blobs UNION ALL SELECT id FROM uploads")
        self.opened.close()
        assert problems == []
        assert left == set()
        assert rows == []

    def attempt(self, deed: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return deed(*arguments, **options)
        except EcrateError:
            return None

    @rule(name=names)
    def create(self, name: str) -> None:
        self.attempt(self.bench.create, name)

    @rule(name=names, layers=st.sets(st.sampled_from(LAYERS), min_size=1), tag=st.none() | tags)
    def push(self, name: str, layers: set[Blob], tag: str | None) -> None:
        image = MadeImage(CONFIG, tuple(sorted(layers, key=lambda layer: layer.content)))
        given = [] if tag is None else [tag]
        self.attempt(self.bench.push, self.bench.ref(name), image, *given)

    @rule(name=names, layer=st.sampled_from(LAYERS))
    def upload(self, name: str, layer: Blob) -> None:
        self.attempt(self.bench.store, self.bench.ref(name), layer.content)

    @rule(name=names, number=numbers, tag=tags)
    def push_index(self, name: str, number: int, tag: str) -> None:
        ref = self.bench.ref(name)
        entries = [Blob(content, OCI_MANIFEST).descriptor for _, content in self.manifests(ref)]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries[:number]}
        self.attempt(self.bench.put, ref, json.dumps(index), [tag])

    @rule(name=names, tag=tags)
    def delete_tag(self, name: str, tag: str) -> None:
        self.delete(self.bench.ref(name), ImageId(tag=tag))

    @rule(name=names, number=numbers)
    def delete_image(self, name: str, number: int) -> None:
        ref = self.bench.ref(name)
        found = self.manifests(ref)
        if found:
            digest, _ = found[number % len(found)]
            self.delete(ref, ImageId(digest))

    def delete(self, ref: RepositoryRef, image_id: ImageId) -> None:
        self.attempt(
            deletions.batch_delete_image, self.bench.core, self.bench.caller, ref, [image_id]
        )

    @rule(name=names)
    def delete_repository(self, name: str) -> None:
        bench = self.bench
        self.attempt(
            repositories.delete_repository, bench.core, bench.caller, bench.ref(name), force=True
        )

    @rule(name=names, number=numbers)
    def restore_image(self, name: str, number: int) -> None:
        ref = self.bench.ref(name)
        found = list(trash.list_trashed_images(self.bench.core, Origin(ref=ref)))
        if found:
            digest = found[number % len(found)].digest
            if self.attempt(trash.restore_image, self.bench.core, ref, digest):
                assert digest in dict(self.manifests(ref))

    @rule(name=names, new_name=names)
    def restore_repository(self, name: str, new_name: str) -> None:
        ref = self.bench.ref(name)
        self.attempt(trash.restore_repository, self.bench.core, ref, name=new_name)

    @rule(name=names)
    def empty_trash(self, name: str) -> None:
        trash.empty_trash(self.bench.core, Origin(ref=self.bench.ref(name)))

    @rule(hours=st.sampled_from([1, 12, 25, 8 * 24]))
    def wait_and_collect(self, hours: int) -> None:
        self.bench.clock.advance(hours * HOUR)
        collect(self.bench.core)
        collect_strays(self.bench.core)

    @rule(name=names)
    def check(self, name: str) -> None:
        for layer in LAYERS:
            if self.attempt(self.bench.has, self.bench.ref(name), layer.digest):
                assert self.bench.read(self.bench.ref(name), layer.digest) == layer.content

    @invariant()
    def everything_listed_pulls(self) -> None:
        for name in ("one", "two"):
            ref = self.bench.ref(name)
            there = dict(self.manifests(ref))
            for content in there.values():
                document = json.loads(content)
                for child in document.get("manifests", ()):
                    assert Digest(child["digest"]) in there
                needed = [document.get("config"), *document.get("layers", ())]
                for descriptor in filter(None, needed):
                    layer = self.bench.read(ref, descriptor["digest"])
                    assert digest_of(layer) == descriptor["digest"]

    def manifests(self, ref: RepositoryRef) -> list[tuple[Digest, bytes]]:
        """Give digest and document of all images that are listed."""
        bench = self.bench
        listed = self.attempt(bench.images, ref) or []
        found = [images.find_image(bench.core, bench.caller, ref, one) for one in listed]
        unique = {image.digest: image for image in found}
        return [
            (digest, images.read_manifest(bench.core, image)) for digest, image in unique.items()
        ]


@pytest.mark.parametrize(
    ("engine", "examples"),
    [
        pytest.param("sqlite", 10, id="sqlite"),
        pytest.param("postgres", 3, id="postgres", marks=pytest.mark.postgres),
    ],
)
def test_what_is_listed_pulls_whatever_was_done(
    engine: str, examples: int, request: pytest.FixtureRequest
) -> None:
    on_postgres = engine == "postgres"

    class Placed(Registry):
        """On the engine that this test is for."""

        postgres = request.getfixturevalue("postgres") if on_postgres else None

    # Making the steps that failed fewer would take minutes; they are printed as they were.
    chosen = settings(
        max_examples=examples, stateful_step_count=15, phases=(Phase.explicit, Phase.generate)
    )

    run_state_machine_as_test(Placed, settings=chosen)
