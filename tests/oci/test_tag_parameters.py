"""Tags given as query parameters to a push by digest: all of them or none."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.registry import error_of, index_of, push_blobs, push_image, put_manifest
from tests.support.server import Server
from tests.support.workers import ask_each_worker

GRAMMAR = "A tag has 1 to 128 of a-z, A-Z, 0-9, _ . - and begins with none of . -"


def push_tagged(
    http: httpx.Client, repository: str, image: MadeImage, tags: Sequence[str], reference: str = ""
) -> httpx.Response:
    """Push the manifest by its digest, or `reference`, with `tags` as parameters."""
    path = f"/v2/{repository}/manifests/{reference or image.digest}"
    return http.put(path, params={"tag": tags}, content=image.manifest)


def tags_of(http: httpx.Client, repository: str) -> list[str]:
    tags: list[str] = http.get(f"/v2/{repository}/tags/list?n=1000").json()["tags"]
    return tags


def digest_at(http: httpx.Client, repository: str, tag: str) -> str | None:
    digest: str | None = http.head(f"/v2/{repository}/manifests/{tag}").headers.get(
        "Docker-Content-Digest"
    )
    return digest


@pytest.fixture
def image(http: httpx.Client, repository: str) -> MadeImage:
    """An image whose blobs are in the repository."""
    made = make_image()
    push_blobs(http, repository, made)
    return made


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param(["one"], "one", id="one"),
        pytest.param(["b", "a"], "b, a", id="two"),
        pytest.param(["b", "a", "b"], "b, a", id="one-of-them-twice"),
        pytest.param(["x" * 128, "_"], f"{'x' * 128}, _", id="longest-and-shortest"),
        pytest.param(
            [f"v{number}" for number in range(50)],
            ", ".join(f"v{number}" for number in range(50)),
            id="fifty",
        ),
    ],
)
def test_push_by_digest_sets_the_tags_of_its_query(
    http: httpx.Client, repository: str, image: MadeImage, tags: list[str], expected: str
) -> None:
    answer = push_tagged(http, repository, image, tags)

    assert answer.status_code == 201
    assert answer.headers["OCI-Tag"] == expected
    assert answer.headers["Docker-Content-Digest"] == image.digest
    assert answer.headers["Location"] == f"/v2/{repository}/manifests/{image.digest}"
    assert tags_of(http, repository) == sorted(set(tags))
    assert {digest_at(http, repository, tag) for tag in tags} == {image.digest}


def test_tags_are_seen_by_every_worker_at_once(crowd: Server, crowded: str) -> None:
    image = make_image()
    with crowd.http() as http:
        push_blobs(http, crowded, image)

        push_tagged(http, crowded, image, ["one", "two"])

    found = [
        answer.headers["Docker-Content-Digest"]
        for tag in ("one", "two")
        for answer in ask_each_worker(crowd, "HEAD", f"/v2/{crowded}/manifests/{tag}")
    ]
    assert found == [image.digest] * 8


def test_push_by_digest_without_tags_tells_of_none(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    answer = push_tagged(http, repository, image, [])

    assert answer.status_code == 201
    assert "OCI-Tag" not in answer.headers
    assert tags_of(http, repository) == []


def test_push_again_adds_tags_and_is_answered_alike(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    queries = (["one"], ["one", "two"], ["two"], ["one", "two"])

    answers = [push_tagged(http, repository, image, tags) for tags in queries]

    assert [answer.status_code for answer in answers] == [201] * 4
    assert [answer.headers["OCI-Tag"] for answer in answers] == [
        "one",
        "one, two",
        "two",
        "one, two",
    ]
    assert tags_of(http, repository) == ["one", "two"]


def test_push_of_an_index_takes_tags(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_image(http, repository, image)
    index = index_of(OCI_INDEX, OCI_MANIFEST, image.manifest)
    path = f"/v2/{repository}/manifests/{digest_of(index.encode())}?tag=multi&tag=latest"

    answer = http.put(path, content=index, headers={"Content-Type": OCI_INDEX})

    assert answer.headers["OCI-Tag"] == "multi, latest"
    assert digest_at(http, repository, "multi") == digest_of(index.encode())


def test_tags_move_from_other_images(http: httpx.Client, repository: str, image: MadeImage) -> None:
    before = make_image()
    push_image(http, repository, before, "one", "two", "three")

    push_tagged(http, repository, image, ["two", "three", "four"])

    found = [digest_at(http, repository, tag) for tag in ("one", "two", "three", "four")]
    assert found == [before.digest, image.digest, image.digest, image.digest]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="empty"),
        pytest.param(".hidden", id="leading-dot"),
        pytest.param("-x", id="leading-dash"),
        pytest.param("a b", id="space"),
        pytest.param("a,b", id="comma"),
        pytest.param("a\r\nX-Evil: 1", id="line-break"),
        pytest.param("a\0", id="nul"),
        pytest.param("a\n", id="newline-behind"),
        pytest.param("é", id="unicode"),
        pytest.param("x" * 129, id="long"),
        pytest.param("x" * 5000, id="very-long"),
        pytest.param("../x", id="traversal"),
        pytest.param("a/b", id="slash"),
        pytest.param("sha256:" + "0" * 64, id="digest"),
    ],
)
@pytest.mark.parametrize("position", [0, 2], ids=["first", "last"])
def test_bad_tag_refuses_the_push(
    http: httpx.Client, repository: str, image: MadeImage, bad: str, position: int
) -> None:
    tags = ["good", "fine"]
    tags.insert(position, bad)

    answer = push_tagged(http, repository, image, tags)

    assert error_of(answer) == (400, "TAG_INVALID", GRAMMAR)
    assert "OCI-Tag" not in answer.headers
    assert tags_of(http, repository) == []
    assert digest_at(http, repository, image.digest) is None


def test_tag_parameter_goes_with_a_digest_only(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    answer = push_tagged(http, repository, image, ["two"], reference="one")

    message = "'tag' goes with a digest in the path only"
    assert error_of(answer) == (400, "TAG_INVALID", message)
    assert tags_of(http, repository) == []


def test_wrong_digest_sets_no_tag(http: httpx.Client, repository: str, image: MadeImage) -> None:
    answer = push_tagged(http, repository, image, ["one"], reference="sha256:" + "0" * 64)

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")
    assert tags_of(http, repository) == []


def test_missing_layer_sets_no_tag(http: httpx.Client, repository: str) -> None:
    answer = push_tagged(http, repository, make_image(), ["one", "two"])

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")
    assert tags_of(http, repository) == []


@pytest.fixture
def immutable(server: Server, http: httpx.Client, repository: str) -> tuple[str, MadeImage]:
    """A repository without mutable tags, and the image that is `taken` in it."""
    name, image = f"{repository}-immutable", make_image()
    server.ecr().create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    push_image(http, name, image, "taken")
    return name, image


@pytest.mark.parametrize("tags", [["taken"], ["free", "taken"], ["taken", "free"]], ids=" ".join)
def test_immutable_tag_refuses_the_whole_push(
    http: httpx.Client, immutable: tuple[str, MadeImage], tags: list[str]
) -> None:
    name, taken = immutable
    image = make_image()
    push_blobs(http, name, image)

    answer = push_tagged(http, name, image, tags)

    message = (
        f"The image tag 'taken' already exists in the '{name}' repository and cannot be "
        "overwritten because the repository is immutable."
    )
    assert error_of(answer) == (400, "TAG_INVALID", message)
    assert "OCI-Tag" not in answer.headers
    assert tags_of(http, name) == ["taken"]
    assert digest_at(http, name, "taken") == taken.digest
    assert digest_at(http, name, image.digest) is None


def test_immutable_tag_may_be_repeated_and_joined_by_new_ones(
    http: httpx.Client, immutable: tuple[str, MadeImage]
) -> None:
    name, taken = immutable

    answer = push_tagged(http, name, taken, ["taken", "free"])

    assert answer.status_code == 201
    assert answer.headers["OCI-Tag"] == "taken, free"
    assert tags_of(http, name) == ["free", "taken"]


@pytest.mark.parametrize(
    ("tags", "status"), [(["dev-1", "dev-2"], 201), (["dev-1", "v1"], 400)], ids=["free", "one-not"]
)
def test_immutability_holds_for_each_tag_by_its_name(
    server: Server, http: httpx.Client, repository: str, tags: list[str], status: int
) -> None:
    name = f"{repository}-excluded"
    server.ecr().create_repository(
        repositoryName=name,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    before, after = make_image(), make_image()
    push_image(http, name, before, "dev-1", "dev-2", "v1")
    push_blobs(http, name, after)

    answer = push_tagged(http, name, after, tags)

    expected = after.digest if status == 201 else before.digest
    assert answer.status_code == status
    assert {digest_at(http, name, tag) for tag in tags} == {expected}


def test_image_has_a_thousand_tags_at_most(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    tags = [f"t{number:04}" for number in range(1001)]
    for start in range(0, 900, 300):
        push_tagged(http, repository, image, tags[start : start + 300])

    answers = [push_tagged(http, repository, image, part) for part in (tags[900:], tags[900:1000])]

    assert error_of(answers[0])[:2] == (403, "DENIED")
    assert answers[1].status_code == 201
    assert tags_of(http, repository) == tags[:1000]


def test_tags_of_one_image_go_with_it_however_they_were_set(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    push_tagged(http, repository, image, ["one", "two"])
    put_manifest(http, repository, "three", image.manifest)

    answer = http.delete(f"/v2/{repository}/manifests/{image.digest}")

    assert answer.status_code == 202
    assert tags_of(http, repository) == []
