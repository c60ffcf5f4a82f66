"""Lists at the registry door: tags of a repository and the catalog, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.images import make_image
from tests.support.registry import error_of, push_image, put_manifest
from tests.support.server import ACCOUNT, Server

_NUMBERS = itertools.count(1)

# Names that contain, begin or end each other, or differ in case only.
TAGS = sorted(
    [
        "0.1.2",
        "0.1.20",
        "0.1.2-rc",
        "0.1.2_",
        "0",
        "a",
        "A",
        "aa",
        "a-",
        "a.",
        "a_",
        "_",
        "_a",
        "latest",
        "latest2",
        "Latest",
        "x" * 127,
        "x" * 128,
    ]
)
REPOSITORIES = sorted(
    [
        "aa",
        "aa-b",
        "aa.b",
        "aa/b",
        "aa/b/c",
        "aa/bb",
        "aa_b",
        "aa__b",
        "aaa",
        "aa0",
        "b2",
        "b2/tags",
        "blobs/uploads",
        "manifests/list",
        "tags/list",
        "x" * 255,
        "x" * 256,
        "zz/catalog",
    ]
)


@pytest.fixture(scope="module")
def tagged(server: Server) -> str:
    """The path that lists the tags of a repository with `TAGS`."""
    name = f"tags/all-{next(_NUMBERS)}"
    server.ecr().create_repository(repositoryName=name)
    with server.http() as http:
        push_image(http, name, make_image(), *TAGS)
    return f"/v2/{name}/tags/list"


@pytest.fixture(scope="module")
def catalog(server: Server) -> Iterator[httpx.Client]:
    """A client of a registry that has `REPOSITORIES` and nothing else."""
    region = f"catalog-{next(_NUMBERS)}"
    ecr = server.ecr(region=region)
    for name in REPOSITORIES:
        ecr.create_repository(repositoryName=name)
    with server.http() as http:
        http.headers["Host"] = f"{ACCOUNT}.dkr.ecr.{region}.localhost:{server.port}"
        yield http


def pages(http: httpx.Client, path: str, key: str) -> list[list[str]]:
    """Follow the Link headers from `path` on."""
    found = []
    url: str | None = path
    while url is not None:
        answer = http.get(url)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[key])
        assert len(found) <= 100
        url = answer.links.get("next", {}).get("url")
    return found


def split(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def test_list_tags_gives_all_in_order(http: httpx.Client, tagged: str) -> None:
    answer = http.get(tagged)

    assert answer.status_code == 200
    name = tagged.removeprefix("/v2/").removesuffix("/tags/list")
    assert answer.json() == {"name": name, "tags": TAGS}
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 7, len(TAGS) - 1])
def test_list_tags_goes_on_where_the_page_ended(http: httpx.Client, tagged: str, size: int) -> None:
    found = pages(http, f"{tagged}?n={size}", "tags")

    assert found == split(TAGS, size)


def test_list_tags_names_the_next_page(http: httpx.Client, tagged: str) -> None:
    answer = http.get(f"{tagged}?n=2")

    assert answer.headers["Link"] == f'<{tagged}?n=2&last={TAGS[1]}>; rel="next"'


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("n=0", [], id="none"),
        pytest.param(f"n={len(TAGS)}", TAGS, id="exactly-all"),
        pytest.param("n=100000", TAGS, id="more-than-a-page-may-have"),
        pytest.param("n=" + "9" * 5000, TAGS, id="far-more"),
        pytest.param("last=0.1.2", TAGS[TAGS.index("0.1.2") + 1 :], id="behind-a-tag"),
        pytest.param("last=0.1.3", TAGS[TAGS.index("A") :], id="behind-no-tag"),
        pytest.param("last=zzz", [], id="behind-all"),
        pytest.param("last=", TAGS, id="behind-nothing"),
        pytest.param("last=%00", TAGS, id="nul"),
        pytest.param("last=%ff", [], id="not-utf8"),
        pytest.param("last=%25", TAGS, id="wildcard"),
        pytest.param("last='%20OR%201=1%20--", TAGS, id="sql"),
        pytest.param("n=1&last=a&n=2", TAGS[TAGS.index("a") + 1 :][:2], id="twice"),
        pytest.param("unknown=1", TAGS, id="unknown"),
    ],
)
def test_list_tags_takes_n_and_last(
    http: httpx.Client, tagged: str, query: str, expected: list[str]
) -> None:
    answer = http.get(f"{tagged}?{query}")

    assert answer.json()["tags"] == expected


@pytest.mark.parametrize(
    "given", ["-1", "abc", "1.5", "", "%20", "+1", "1e3", "%D9%A1", "0x10", "1,2"]
)
@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/{}/tags/list"], ids=["catalog", "tags"])
def test_list_refuses_a_bad_count(
    http: httpx.Client, repository: str, path: str, given: str
) -> None:
    answer = http.get(f"{path.format(repository)}?n={given}")

    assert error_of(answer) == (400, "UNSUPPORTED", "'n' must be a count of results")


def test_list_tags_gives_a_hundred_unless_asked(http: httpx.Client, repository: str) -> None:
    tags = [f"t{number:04}" for number in range(101)]
    push_image(http, repository, make_image(), *tags)

    first = http.get(f"/v2/{repository}/tags/list")

    assert first.json()["tags"] == tags[:100]
    assert http.get(first.links["next"]["url"]).json()["tags"] == tags[100:]


def test_list_tags_of_an_empty_repository(http: httpx.Client, repository: str) -> None:
    answer = http.get(f"/v2/{repository}/tags/list")

    assert answer.json() == {"name": repository, "tags": []}


def test_list_tags_of_an_unknown_repository(http: httpx.Client) -> None:
    answer = http.get("/v2/no/such/tags/list")

    message = (
        f"The repository with name 'no/such' does not exist in the registry with id '{ACCOUNT}'"
    )
    assert error_of(answer) == (404, "NAME_UNKNOWN", message)


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag[:10] + str(len(tag)))
def test_deleting_one_tag_leaves_all_others(http: httpx.Client, repository: str, tag: str) -> None:
    image = make_image()
    push_image(http, repository, image, *TAGS)
    others = [one for one in TAGS if one != tag]

    http.delete(f"/v2/{repository}/manifests/{tag}")

    assert pages(http, f"/v2/{repository}/tags/list?n=5", "tags") == split(others, 5)
    found = [http.head(f"/v2/{repository}/manifests/{one}").status_code for one in others]
    assert found == [200] * len(others)


def test_moving_one_tag_leaves_all_others(http: httpx.Client, repository: str) -> None:
    old, new = make_image(), make_image()
    push_image(http, repository, old, *TAGS)
    push_image(http, repository, new)

    put_manifest(http, repository, "0.1.2", new.manifest)

    found = {tag: http.get(f"/v2/{repository}/manifests/{tag}").text for tag in TAGS}
    assert found == dict.fromkeys(TAGS, old.manifest) | {"0.1.2": new.manifest}


def test_catalog_gives_all_in_order(catalog: httpx.Client) -> None:
    answer = catalog.get("/v2/_catalog")

    assert answer.status_code == 200
    assert answer.json() == {"repositories": REPOSITORIES}
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 7, len(REPOSITORIES) - 1])
def test_catalog_goes_on_where_the_page_ended(catalog: httpx.Client, size: int) -> None:
    found = pages(catalog, f"/v2/_catalog?n={size}", "repositories")

    assert found == split(REPOSITORIES, size)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("n=0", [], id="none"),
        pytest.param("n=1000000", REPOSITORIES, id="more-than-a-page-may-have"),
        pytest.param("last=aa", REPOSITORIES[1:], id="behind-a-name"),
        pytest.param("last=zzzz", [], id="behind-all"),
        pytest.param("last=%ff", [], id="not-utf8"),
        pytest.param("last=" + "z" * 10_000, [], id="long"),
    ],
)
def test_catalog_takes_n_and_last(catalog: httpx.Client, query: str, expected: list[str]) -> None:
    answer = catalog.get(f"/v2/_catalog?{query}")

    assert answer.json() == {"repositories": expected}


@pytest.mark.parametrize("name", REPOSITORIES, ids=lambda name: name[:20] + str(len(name)))
def test_repository_of_any_name_can_be_pushed_to(catalog: httpx.Client, name: str) -> None:
    image = make_image()

    push_image(catalog, name, image, "latest")

    assert catalog.get(f"/v2/{name}/manifests/latest").text == image.manifest
    assert catalog.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["latest"]}


@pytest.mark.parametrize("name", ["aa", "aa/b", "blobs/uploads"])
def test_deleting_one_repository_leaves_all_others(
    server: Server, make_region: Callable[[], str], name: str
) -> None:
    region = make_region()
    ecr = server.ecr(region=region)
    for one in REPOSITORIES:
        ecr.create_repository(repositoryName=one)

    ecr.delete_repository(repositoryName=name)

    with server.http() as http:
        http.headers["Host"] = f"{ACCOUNT}.dkr.ecr.{region}.localhost:{server.port}"
        answer = http.get("/v2/_catalog")
    assert answer.json()["repositories"] == [one for one in REPOSITORIES if one != name]
