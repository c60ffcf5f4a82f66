"""What is taken over from a distribution registry's files, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.errors import ImportUnusable
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.repositories import TagMutability
from ecrate.operations import images, referrers
from ecrate.operations.imports.distribution import DistributionFiles
from ecrate.operations.imports.importing import Importing, import_distribution
from ecrate.operations.pace import Pace
from tests.support.checking import check, file_of, pull, whole
from tests.support.core import REGISTRY, Bench
from tests.support.images import MadeImage, digest_of, make_image
from tests.support.pushing import make_index
from tests.support.steps import Steps

STORED = 1_600_000_000.0


class Files:
    """Writes what distribution would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = root / "docker/registry/v2"
        (self.top / "repositories").mkdir(parents=True)

    def blob(self, content: bytes) -> str:
        digest = digest_of(content)
        file = self.path(digest)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return digest

    def path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self.top / "blobs/sha256" / name[:2] / name / "data"

    def manifest(self, name: str, document: str, *tags: str, at: float = STORED) -> str:
        digest = self.blob(document.encode())
        manifests = self.top / "repositories" / name / "_manifests"
        revision = manifests / "revisions/sha256" / digest.removeprefix("sha256:") / "link"
        for link in (revision, *(manifests / "tags" / tag / "current/link" for tag in tags)):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.write_text(digest)
            os.utime(link, (at, at))
        return digest

    def image(self, name: str, image: MadeImage, *tags: str, at: float = STORED) -> str:
        for blob in image.blobs:
            self.blob(blob.content)
        return self.manifest(name, image.manifest, *tags, at=at)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "registry")


def take(bench: Bench, files: Files, **options: Any) -> Importing:
    importing = Importing(
        bench.core, DistributionFiles(files.root), REGISTRY, Steps(), Pace(), **options
    )
    import_distribution(importing)
    return importing


def counts(importing: Importing) -> tuple[int, int, int, int]:
    return importing.repositories, importing.images, importing.tags, importing.layers


def detail(bench: Bench, ref: RepositoryRef, digest: str) -> Any:
    (found,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(Digest(digest))])
    return found


def test_all_is_taken_over(bench: Bench, files: Files) -> None:
    image, other = make_image(100, 200), make_image(300)
    files.image("library/app", image, "1", "latest")
    files.image("library/app", other)
    files.image("library/app/sub", image, "1")

    importing = take(bench, files)

    app, sub = bench.ref("library/app"), bench.ref("library/app/sub")
    assert counts(importing) == (2, 3, 3, 5)
    assert importing.refusals == []
    assert pull(bench, app, image) == pull(bench, sub, image) == whole(image)
    assert pull(bench, app, other) == whole(other)
    assert list(detail(bench, app, image.digest).tags) == ["1", "latest"]
    assert check(bench) == []


def test_images_are_as_old_as_they_are(bench: Bench, files: Files) -> None:
    image = make_image(10)
    files.image("app", image, "1")

    take(bench, files)

    assert detail(bench, bench.ref("app"), image.digest).image.pushed_at == STORED


def test_names_get_the_prefix(bench: Bench, files: Files) -> None:
    image = make_image(10)
    files.image("app", image, "1")

    take(bench, files, prefix="old/")

    assert pull(bench, bench.ref("old/app"), image) == whole(image)


def test_indexes_come_behind_what_they_list(bench: Bench, files: Files) -> None:
    made = [make_image(number) for number in range(1, 4)]
    index = make_index(*made)
    documents = [index, make_outer_index(index)]
    for image in made:
        files.image("app", image)
    for number, document in enumerate(documents):
        files.manifest("app", document, f"v{number}")

    importing = take(bench, files)

    assert importing.refusals == []
    assert importing.images == 5
    app = bench.ref("app")
    assert list(detail(bench, app, digest_of(documents[1].encode())).tags) == ["v1"]
    assert check(bench) == []


def make_outer_index(index: str) -> str:
    entry = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": digest_of(index.encode()),
        "size": len(index),
    }
    return json.dumps({**json.loads(index), "manifests": [entry]})


def test_referrers_are_found(bench: Bench, files: Files) -> None:
    image, signature = make_image(10), make_image(5)
    digest = files.image("app", image, "1")
    files.image("app", signature)
    subject = {"mediaType": image.document["mediaType"], "digest": digest, "size": 1}
    referrer = files.manifest("app", json.dumps({**signature.document, "subject": subject}))

    take(bench, files)

    found, _ = referrers.list_image_referrers(bench.core, bench.caller, bench.ref("app"), digest)
    assert [one.digest.text for one in found] == [referrer]


def test_layers_are_shared_with_the_files(bench: Bench, files: Files) -> None:
    image = make_image(100)
    files.image("app", image, "1")

    importing = take(bench, files)

    layer = image.layers[0].digest
    assert file_of(bench, layer).samefile(files.path(layer))
    assert importing.size == sum(len(blob.content) for blob in image.blobs)


def test_second_import_brings_what_has_come_since(bench: Bench, files: Files) -> None:
    first, second = make_image(10), make_image(20)
    files.image("app", first, "1", "latest")
    take(bench, files)
    files.image("app", second, "2", "latest", at=STORED + 10)

    importing = take(bench, files)

    assert counts(importing) == (0, 1, 2, 2)
    assert list(detail(bench, bench.ref("app"), second.digest).tags) == ["2", "latest"]
    assert counts(take(bench, files)) == (0, 0, 0, 0)


def test_tag_that_was_pushed_here_since_stays(bench: Bench, files: Files) -> None:
    old, new = make_image(10), make_image(20)
    files.image("app", old, "latest")
    take(bench, files)
    bench.push(bench.ref("app"), new, "latest")

    importing = take(bench, files)

    assert counts(importing) == (0, 0, 0, 0)
    assert importing.refusals == []
    assert list(detail(bench, bench.ref("app"), new.digest).tags) == ["latest"]


@pytest.mark.parametrize("trusts", [False, True])
def test_damaged_layer_is_refused_unless_trusted(
    bench: Bench, files: Files, *, trusts: bool
) -> None:
    image, other = make_image(100), make_image(200)
    files.image("app", image, "1")
    files.image("app", other, "2")
    files.path(image.layers[0].digest).write_bytes(bytes(100))

    importing = take(bench, files, trusts=trusts)

    refused = [(one.repository, one.what, one.why) for one in importing.refusals]
    layer = image.layers[0].digest
    assert refused == (
        []
        if trusts
        else [
            ("app", image.digest, f"the bytes of its layer {layer} are gone or damaged"),
            ("app", "1", f"its image {image.digest} was not taken over"),
        ]
    )
    assert pull(bench, bench.ref("app"), other) == whole(other)


def test_what_cannot_be_taken_over_is_told(bench: Bench, files: Files) -> None:
    image, bare = make_image(100), make_image(200)
    files.image("app", image, "fine")
    gone = files.image("app", bare, "gone")
    files.path(gone).unlink()
    missing = files.manifest("app", make_image(300).manifest)
    listed = files.manifest("app", make_index(make_image(1)))
    old = files.manifest("app", json.dumps({"schemaVersion": 1, "name": "app", "tag": "1"}))
    files.image("UPPER", image, "1")
    (files.top / "repositories/app/_manifests/tags/bad/current").mkdir(parents=True)
    (files.top / "repositories/app/_manifests/tags/bad/current/link").write_text("no digest")

    importing = take(bench, files)

    refused = {one.what: one.why for one in importing.refusals}
    assert importing.images == 1
    assert refused.keys() == {gone, "gone", missing, listed, old, "repository"}
    assert refused[gone] == "its manifest is gone or damaged"
    assert "are gone or damaged" in refused[missing]
    assert "must satisfy regular expression" in refused["repository"]
    assert "manifest media type" in refused[old].lower()
    assert pull(bench, bench.ref("app"), image) == whole(image)
    assert check(bench) == []


def test_immutable_tags_stay(bench: Bench, files: Files) -> None:
    app = bench.create("app", tag_mutability=TagMutability("IMMUTABLE"))
    mine, theirs = make_image(10), make_image(20)
    bench.push(app, mine, "1")
    files.image("app", theirs, "1", at=bench.clock.now + 10)

    importing = take(bench, files)

    assert [one.what for one in importing.refusals] == ["1"]
    assert importing.images == 1
    assert list(detail(bench, app, mine.digest).tags) == ["1"]


def test_layer_that_is_known_to_be_lost_is_brought(bench: Bench, files: Files) -> None:
    image = make_image(100)
    one = bench.create("one")
    bench.push(one, image, "v1")
    file_of(bench, image.layers[0].digest).unlink()
    check(bench, repairs=True)
    files.image("app", image, "1")

    take(bench, files)

    assert pull(bench, one, image) == pull(bench, bench.ref("app"), image) == whole(image)


def test_foreign_layers_stay_where_they_are(bench: Bench, files: Files) -> None:
    image = make_image(100)
    document = image.document
    document["layers"][0]["urls"] = ["https://elsewhere.example/layer"]
    files.blob(image.config.content)
    files.manifest("app", json.dumps(document), "windows")

    importing = take(bench, files)

    assert importing.refusals == []
    assert importing.images == 1


def test_folder_of_the_two_is_taken_too(files: Files) -> None:
    files.image("app", make_image(10), "1")

    assert list(DistributionFiles(files.top).names()) == ["app"]


def test_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ImportUnusable, match="there is no docker/registry/v2/repositories in"):
        DistributionFiles(tmp_path)
