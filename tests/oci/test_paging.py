"""Pages of tags and of the catalog against a model, their limits, and change between pages."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.images import MadeImage, make_image
from tests.support.registry import error_of, push_blobs, push_image
from tests.support.server import Server

# Every tag of up to three of these begins, ends, contains or resembles many of the others.
TAGS = sorted(
    first + "".join(rest)
    for first in "0aA_"
    for length in range(3)
    for rest in itertools.product("0aA_.-", repeat=length)
)


def push_tags(http: httpx.Client, repository: str, image: MadeImage, tags: list[str]) -> None:
    """Point many tags at an image, a few hundred a request."""
    push_blobs(http, repository, image)
    for start in range(0, len(tags), 300):
        parameters = {"tag": tags[start : start + 300]}
        path = f"/v2/{repository}/manifests/{image.digest}"
        assert http.put(path, params=parameters, content=image.manifest).status_code == 201


@pytest.fixture(scope="module")
def tagged(server: Server) -> Iterator[Callable[[str], httpx.Response]]:
    """Ask, with a query, for the tags of a repository that has `TAGS`."""
    ecr = server.ecr()
    with suppress(ecr.exceptions.RepositoryAlreadyExistsException):  # by tests that ran before
        ecr.create_repository(repositoryName="paging/tags")
    with server.http() as http:
        push_tags(http, "paging/tags", make_image(), TAGS)
        yield lambda query: http.get(f"/v2/paging/tags/tags/list{query}")


@given(
    count=st.integers(0, 200) | st.none(),
    last=st.sampled_from(TAGS) | st.text(max_size=4) | st.text("0aA_.-", max_size=130),
)
@settings(max_examples=150)
def test_page_of_tags_is_what_sorting_all_of_them_gives(
    tagged: Callable[[str], httpx.Response], count: int | None, last: str
) -> None:
    number = {} if count is None else {"n": str(count)}

    answer = tagged("?" + str(httpx.QueryParams({**number, "last": last})))

    behind = [tag for tag in TAGS if tag > last]
    page = behind[: 100 if count is None else count]
    assert answer.json() == {"name": "paging/tags", "tags": page}
    assert ("next" in answer.links) == (len(behind) > len(page) > 0)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_links_lead_through_all_tags(
    server: Server, tagged: Callable[[str], httpx.Response], size: int
) -> None:
    with server.http() as http:
        answers = list(follow(http, tagged(f"?n={size}")))

    assert [tag for answer in answers for tag in answer.json()["tags"]] == TAGS
    assert {len(answer.json()["tags"]) for answer in answers[:-1]} == {size}


def follow(http: httpx.Client, answer: httpx.Response) -> Iterator[httpx.Response]:
    """Give a page and all that come behind it."""
    yield answer
    while "next" in answer.links:
        answer = http.get(answer.links["next"]["url"])
        assert answer.status_code == 200, answer.text
        yield answer


@pytest.mark.parametrize(
    ("given_count", "count"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("000000000000000", 0, id="many-zeros"),
        pytest.param("00000000000000000002", 2, id="leading-zeros"),
        pytest.param("1000", len(TAGS), id="as-many-as-there-may-be"),
        pytest.param("1" + "0" * 500, len(TAGS), id="far-more"),
    ],
)
def test_count_is_a_number(
    tagged: Callable[[str], httpx.Response], given_count: str, count: int
) -> None:
    answer = tagged(f"?n={given_count}")

    assert answer.json()["tags"] == TAGS[:count]


@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/{}/tags/list"], ids=["catalog", "tags"])
@pytest.mark.parametrize("last", ["", "&last=a"], ids=["first", "behind"])
def test_page_of_none_is_empty_and_the_last(
    http: httpx.Client, repository: str, path: str, last: str
) -> None:
    push_image(http, repository, make_image(), "b", "c")

    answer = http.get(f"{path.format(repository)}?n=0{last}")

    assert answer.status_code == 200
    assert answer.json().get("tags", answer.json().get("repositories")) == []
    assert "Link" not in answer.headers


def test_page_has_a_thousand_tags_at_most(http: httpx.Client, repository: str) -> None:
    tags = [f"t{number:04}" for number in range(1002)]
    push_tags(http, repository, make_image(), tags[:501])
    push_tags(http, repository, make_image(), tags[501:])

    answers = list(follow(http, http.get(f"/v2/{repository}/tags/list?n=5000")))

    assert [answer.json()["tags"] for answer in answers] == [tags[:1000], tags[1000:]]


@pytest.fixture(scope="module")
def narrow(parity_server: Server) -> str:
    """A repository with one tag on the server that does as ECR does."""
    ecr = parity_server.ecr()
    with suppress(ecr.exceptions.RepositoryAlreadyExistsException):  # by tests that ran before
        ecr.create_repository(repositoryName="paging/narrow")
    with parity_server.http() as http:
        push_image(http, "paging/narrow", make_image(), "latest")
    return "/v2/paging/narrow/tags/list"


@pytest.mark.parametrize("count", ["1001", "5000", "1" + "0" * 40, "0001001"])
@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/paging/narrow/tags/list"])
@pytest.mark.usefixtures("narrow")
def test_count_above_a_thousand_is_refused_under_parity(
    parity_server: Server, path: str, count: str
) -> None:
    with parity_server.http() as http:
        answer = http.get(f"{path}?n={count}")

    message = (
        "Invalid parameter at 'maxResults' failed to satisfy constraint: "
        "'Member must have value less than or equal to 1000'"
    )
    assert error_of(answer) == (405, "UNSUPPORTED", message)


@pytest.mark.parametrize("count", ["1000", "00001", "1"])
def test_count_up_to_a_thousand_is_fine_under_parity(
    parity_server: Server, narrow: str, count: str
) -> None:
    with parity_server.http() as http:
        answer = http.get(f"{narrow}?n={count}")

    assert answer.json()["tags"] == ["latest"]


def test_change_between_pages_neither_hides_nor_repeats_other_tags(
    http: httpx.Client, repository: str
) -> None:
    image, path = make_image(), f"/v2/{repository}"
    push_image(http, repository, image, "a", "b", "c", "d", "e", "f")
    first = http.get(f"{path}/tags/list?n=3")
    # before, at and behind the end of the page
    gone = [http.delete(f"{path}/manifests/{tag}").status_code for tag in ("a", "c", "d")]
    push_image(http, repository, make_image(), "A", "bb", "e", "ee", "z")

    rest = list(follow(http, first))[1:]

    assert gone == [202] * 3
    assert first.json()["tags"] == ["a", "b", "c"]
    assert [answer.json()["tags"] for answer in rest] == [["e", "ee", "f"], ["z"]]


def test_change_between_pages_neither_hides_nor_repeats_other_repositories(
    server: Server,
) -> None:
    region = "sa-east-7"
    ecr, host = server.ecr(region=region), f"000000000000.dkr.ecr.{region}.localhost"
    for name in ("r/a", "r/b", "r/c", "r/d", "r/e"):
        ecr.create_repository(repositoryName=name)
    with server.http() as http:
        http.headers["Host"] = host
        first = http.get("/v2/_catalog?n=2")
        ecr.delete_repository(repositoryName="r/b")
        ecr.delete_repository(repositoryName="r/c")
        ecr.create_repository(repositoryName="r/b-b")
        ecr.create_repository(repositoryName="r-first")

        rest = list(follow(http, first))[1:]

    assert first.json() == {"repositories": ["r/a", "r/b"]}
    assert first.headers["Link"] == '</v2/_catalog?n=2&last=r%2Fb>; rel="next"'
    assert [answer.json()["repositories"] for answer in rest] == [["r/b-b", "r/d"], ["r/e"]]


def test_catalog_is_one_accounts(as_account: Callable[[str], Server]) -> None:
    accounts = [as_account(account) for account in ("555555555555", "666666666666")]
    for server in accounts:
        server.ecr().create_repository(repositoryName=f"of/{server.key_id}")
        server.ecr().create_repository(repositoryName="of/both")

    catalogs = [catalog(server) for server in accounts]

    assert [answer.json()["repositories"] for answer in catalogs] == [
        ["of/555555555555", "of/both"],
        ["of/666666666666", "of/both"],
    ]


def catalog(server: Server, host: str = "") -> httpx.Response:
    with server.http() as http:
        return http.get("/v2/_catalog", headers={"Host": host} if host else {})


def test_catalog_of_another_account_is_refused(as_account: Callable[[str], Server]) -> None:
    stranger = as_account("777777777777")
    unknown = dataclasses.replace(stranger, key_id="888888888888")
    hosts = [f"{account}.dkr.ecr.us-east-1.localhost" for account in ("555555555555", "9" * 12)]

    answers = [catalog(server, host) for server in (stranger, unknown) for host in hosts]

    assert {error_of(answer)[:2] for answer in answers} == {(403, "DENIED")}
