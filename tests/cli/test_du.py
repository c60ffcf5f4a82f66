"""`ecrate du`: bytes of repositories and tags, against what deleting really frees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.pushed import push, push_index, push_referrer
from tests.support.images import Blob, MadeImage, make_image
from tests.support.server import Server, running_server


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose repositories are those of these tests."""
    with running_server(tmp_path_factory.mktemp("du") / "data", "--workers", "1") as server:
        yield server


@pytest.fixture
def run_alone(plain_run: Run, alone: Server, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in alone.env.items():
        monkeypatch.setenv(name, value)
    return plain_run


@pytest.fixture
def new_repository(alone: Server) -> Iterator[Callable[[str], str]]:
    """Make repositories that are gone after the test."""
    names = []

    def make(name: str) -> str:
        alone.ecr().create_repository(repositoryName=name)
        names.append(name)
        return name

    yield make
    for name in names:
        alone.ecr().delete_repository(repositoryName=name, force=True)


def _sum(*images: MadeImage) -> int:
    return sum({blob.digest: len(blob.content) for i in images for blob in i.blobs}.values())


def _with_layer(layer: Blob) -> MadeImage:
    image = make_image(300)
    return MadeImage(image.config, (layer, *image.layers))


def test_du_tells_unique_and_shared(
    run_alone: Run, alone: Server, new_repository: Callable[[str], str]
) -> None:
    one, other = new_repository("one"), new_repository("other")
    base = Blob(bytes(5000))
    images = [_with_layer(base), _with_layer(base)]
    push(alone, one, images[0], "v1")
    push(alone, other, images[1], "v1")

    told = json.loads(run_alone("du", "--json").out)
    lines = run_alone("du", "--bytes").out.splitlines()

    first = next(each for each in told["repositories"] if each["name"] == one)
    assert first["size"] == _sum(images[0])
    assert (first["unique"], first["shared"]) == (_sum(images[0]) - 5000, 5000)
    assert told["total"] == _sum(*images)
    assert lines[-1].split() == ["together", str(_sum(*images))]


def test_du_tells_what_a_tag_frees(
    run_alone: Run, alone: Server, new_repository: Callable[[str], str]
) -> None:
    app, other = new_repository("app"), new_repository("other")
    base = Blob(bytes(5000))
    shared, sole, elsewhere = _with_layer(base), make_image(700), make_image(900)
    push(alone, app, shared, "shared", "again")
    push(alone, app, sole, "sole")
    push(alone, app, elsewhere, "elsewhere")
    push(alone, other, elsewhere, "v1")
    indexed = push_index(alone, app, "multi")
    push_referrer(alone, app, indexed["amd64"].digest)

    (told,) = json.loads(run_alone("du", app, "--json").out)["repositories"]

    frees: dict[str, Any] = {each["tag"]: each["frees"] for each in told["tags"]}
    sizes = {each["tag"]: each["size"] for each in told["tags"]}
    assert (frees["shared"], frees["again"], frees["elsewhere"]) == (0, 0, 0)
    assert frees["sole"] == sizes["sole"] == _sum(sole)
    # The signature goes with the index, whose platforms go as well.
    assert frees["multi"] == sizes["multi"] > _sum(*indexed.values())


def test_du_reads_more_images_than_one_call_takes(
    run_alone: Run, alone: Server, new_repository: Callable[[str], str]
) -> None:
    app = new_repository("many")
    base = make_image(100)
    push(alone, app, base, "base")
    ecr = alone.ecr()
    for number in range(130):
        document = json.loads(base.manifest) | {"annotations": {"number": str(number)}}
        ecr.put_image(repositoryName=app, imageManifest=json.dumps(document), imageTag=f"t{number}")

    (told,) = json.loads(run_alone("du", app, "--json").out)["repositories"]

    assert len(told["tags"]) == 131
    assert {each["frees"] for each in told["tags"]} == {0}


def test_du_of_an_image_says_what_to_do(run_alone: Run) -> None:
    ran = run_alone("du", "app:1.0")

    assert ran.code == 252
    assert "`ecrate du app` tells of all its tags" in ran.err


def test_du_of_a_missing_repository(run_alone: Run) -> None:
    ran = run_alone("du", "no/such")

    assert ran.code == 255
    assert "there is no repository no/such" in ran.err
