"""Referrers: listed from the push on, by every worker, filtered, and page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, digest_of, make_image
from tests.support.registry import (
    MIB,
    error_of,
    index_of,
    push_blob,
    push_image,
    put_manifest,
)
from tests.support.server import Server
from tests.support.wire import Wire
from tests.support.workers import a_wire_to_each_worker, ask_afresh, ask_each_worker, send

EMPTY = Blob(b"{}", "application/vnd.oci.empty.v1+json")
SUBJECT = digest_of(b"a subject that does not exist")
SBOM = "application/vnd.example.sbom.v1"
SIGNATURE = "application/vnd.example.signature.v1"
UNKNOWN = "sha256:" + "0" * 64


def referrer_to(subject: str, **members: Any) -> str:
    """Give the manifest of an artifact that names `subject`, with members added or changed."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": EMPTY.descriptor,
        "layers": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7},
        **members,
    }
    return json.dumps(document)


def index_referrer_to(subject: str, **members: Any) -> str:
    """Give an index without entries that names `subject`."""
    document = json.loads(referrer_to(subject, mediaType=OCI_INDEX, manifests=[], **members))
    return json.dumps({k: v for k, v in document.items() if k not in {"config", "layers"}})


def push(http: httpx.Client, repository: str, document: str) -> str:
    """Push a document by its digest and give that."""
    digest = digest_of(document.encode())
    answer = put_manifest(http, repository, digest, document)
    assert answer.status_code == 201, answer.text
    return digest


def descriptor_of(document: str, **members: Any) -> dict[str, Any]:
    return {
        "mediaType": json.loads(document)["mediaType"],
        "digest": digest_of(document.encode()),
        "size": len(document.encode()),
        **members,
    }


def list_referrers(http: httpx.Client, repository: str, **parameters: str) -> httpx.Response:
    answer = http.get(f"/v2/{repository}/referrers/{SUBJECT}", params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == OCI_INDEX
    return answer


def listed(body: str | bytes) -> list[str]:
    return [entry["digest"] for entry in json.loads(body)["manifests"]]


def follow(http: httpx.Client, answer: httpx.Response) -> Iterator[httpx.Response]:
    """Give a page and all that come behind it."""
    yield answer
    while "next" in answer.links:
        answer = http.get(answer.links["next"]["url"])
        assert answer.status_code == 200, answer.text
        yield answer


@pytest.fixture
def place(http: httpx.Client, repository: str) -> str:
    """A repository with the empty config that artifacts have."""
    push_blob(http, repository, EMPTY.content)
    return repository


def push_in_turn(wires: list[Wire], repository: str, documents: list[str]) -> list[list[list[str]]]:
    """Push each document to the next worker; give what each worker lists after each push."""
    seen = []
    for number, document in enumerate(documents):
        path = f"/v2/{repository}/manifests/{digest_of(document.encode())}"
        answer = send(wires[number % len(wires)], "PUT", path, document.encode())
        assert answer.status == 201, answer.body
        path = f"/v2/{repository}/referrers/{SUBJECT}"
        seen.append([listed(wire.ask("GET", path).body) for wire in wires])
    return seen


def test_referrer_is_listed_by_every_worker_once_the_push_is_acknowledged(
    crowd: Server, crowded: str
) -> None:
    documents = [referrer_to(SUBJECT, annotations={"number": str(number)}) for number in range(8)]
    digests = [digest_of(document.encode()) for document in documents]

    with crowd.http() as http, a_wire_to_each_worker(crowd) as wires:
        push_blob(http, crowded, EMPTY.content)
        seen = push_in_turn(wires, crowded, documents)

    assert seen == [[digests[: count + 1]] * 4 for count in range(8)]


def test_referrer_is_listed_on_fresh_connections(crowd: Server, crowded: str) -> None:
    with crowd.http() as http:
        push_blob(http, crowded, EMPTY.content)
        digest = push(http, crowded, referrer_to(SUBJECT))

    answers = ask_afresh(crowd, 30, "GET", f"/v2/{crowded}/referrers/{SUBJECT}")

    assert [listed(answer.body) for answer in answers] == [[digest]] * 30


def test_deleted_referrer_is_listed_by_no_worker(crowd: Server, crowded: str) -> None:
    path = f"/v2/{crowded}/referrers/{SUBJECT}"
    with crowd.http() as http:
        push_blob(http, crowded, EMPTY.content)
        gone = push(http, crowded, referrer_to(SUBJECT))
        kept = push(http, crowded, referrer_to(SUBJECT, artifactType=SBOM))
        ask_each_worker(crowd, "GET", path)

        answer = http.delete(f"/v2/{crowded}/manifests/{gone}")

    assert answer.status_code == 202
    assert [listed(one.body) for one in ask_each_worker(crowd, "GET", path)] == [[kept]] * 4


def test_list_describes_referrers_in_full(http: httpx.Client, place: str) -> None:
    notes = {"org.example.note": 'näh \u2028 "quoted" \\ \x7f', "empty": ""}
    document = referrer_to(SUBJECT, artifactType=SBOM, annotations=notes)
    push(http, place, document)

    answer = list_referrers(http, place)

    assert answer.json() == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor_of(document, artifactType=SBOM, annotations=notes)],
    }
    assert "Link" not in answer.headers
    assert "OCI-Filters-Applied" not in answer.headers


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            referrer_to(SUBJECT, artifactType=SBOM), {"artifactType": SBOM}, id="manifest-given"
        ),
        pytest.param(
            referrer_to(SUBJECT), {"artifactType": EMPTY.media_type}, id="manifest-config"
        ),
        pytest.param(
            referrer_to(SUBJECT, artifactType=""),
            {"artifactType": EMPTY.media_type},
            id="manifest-empty",
        ),
        pytest.param(
            index_referrer_to(SUBJECT, artifactType=SBOM), {"artifactType": SBOM}, id="index-given"
        ),
        pytest.param(index_referrer_to(SUBJECT), {}, id="index-none"),
        pytest.param(index_referrer_to(SUBJECT, artifactType=""), {}, id="index-empty"),
    ],
)
def test_artifact_type_is_the_documents_or_its_configs(
    http: httpx.Client, place: str, document: str, expected: dict[str, str]
) -> None:
    push(http, place, document)

    answer = list_referrers(http, place)

    assert answer.json()["manifests"] == [descriptor_of(document, **expected)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(SBOM, ["sbom", "index"], id="given"),
        pytest.param(EMPTY.media_type, ["plain"], id="config"),
        pytest.param("application/vnd.example.other", [], id="none"),
        pytest.param(SBOM.upper(), [], id="capitals"),
        pytest.param(SBOM[:-1], [], id="prefix"),
        pytest.param("%", [], id="wildcard"),
        pytest.param("\u0000\r\n", [], id="control"),
    ],
)
def test_list_is_filtered_by_artifact_type(
    http: httpx.Client, place: str, wanted: str, found: list[str]
) -> None:
    digests = {
        "sbom": push(http, place, referrer_to(SUBJECT, artifactType=SBOM)),
        "signature": push(http, place, referrer_to(SUBJECT, artifactType=SIGNATURE)),
        "plain": push(http, place, referrer_to(SUBJECT)),
        "index": push(http, place, index_referrer_to(SUBJECT, artifactType=SBOM)),
        "bare": push(http, place, index_referrer_to(SUBJECT)),
    }

    answer = list_referrers(http, place, artifactType=wanted)

    assert listed(answer.text) == [digests[name] for name in found]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"


@pytest.mark.parametrize("parameters", [{"artifactType": ""}, {"other": SBOM}])
def test_list_without_a_filter_says_so(
    http: httpx.Client, place: str, parameters: dict[str, str]
) -> None:
    digest = push(http, place, referrer_to(SUBJECT))

    answer = list_referrers(http, place, **parameters)

    assert listed(answer.text) == [digest]
    assert "OCI-Filters-Applied" not in answer.headers


@pytest.mark.parametrize("parameters", [{}, {"artifactType": SBOM}], ids=["all", "filtered"])
def test_long_list_comes_in_pages(
    http: httpx.Client, place: str, parameters: dict[str, str]
) -> None:
    wanted = [
        push(http, place, referrer_to(SUBJECT, artifactType=SBOM, annotations={"n": str(number)}))
        for number in range(207)
    ]
    push(http, place, referrer_to(UNKNOWN, artifactType=SBOM))

    pages = list(follow(http, list_referrers(http, place, **parameters)))

    assert [len(listed(page.text)) for page in pages] == [100, 100, 7]
    assert [digest for page in pages for digest in listed(page.text)] == wanted
    assert {page.headers.get("OCI-Filters-Applied") for page in pages} == {
        "artifactType" if parameters else None
    }
    assert {page.headers["Content-Type"] for page in pages} == {OCI_INDEX}
    assert pages[0].links["next"]["url"].startswith(f"/v2/{place}/referrers/{SUBJECT}?")


@pytest.mark.parametrize("character", ["x", "\u00e9", "\\", "\u0001"], ids=ascii)
def test_page_is_no_larger_than_a_manifest_may_be(
    http: httpx.Client, place: str, character: str
) -> None:
    notes = [
        character * (3 * MIB // 2 // len(json.dumps(character)[1:-1].encode())) + str(number)
        for number in range(5)
    ]
    wanted = [push(http, place, referrer_to(SUBJECT, annotations={"n": note})) for note in notes]

    pages = list(follow(http, list_referrers(http, place)))

    assert [digest for page in pages for digest in listed(page.text)] == wanted
    assert max(len(page.content) for page in pages) <= 4 * MIB


def test_changes_between_pages_neither_hide_nor_repeat_others(
    http: httpx.Client, place: str
) -> None:
    before = [
        push(http, place, referrer_to(SUBJECT, annotations={"n": str(number)}))
        for number in range(150)
    ]
    first = list_referrers(http, place)
    gone = [http.delete(f"/v2/{place}/manifests/{before[number]}") for number in (3, 99, 100)]
    late = push(http, place, referrer_to(SUBJECT, annotations={"n": "late"}))

    pages = list(follow(http, first))

    assert [answer.status_code for answer in gone] == [202] * 3
    assert listed(first.text) == before[:100]
    assert [digest for page in pages[1:] for digest in listed(page.text)] == [*before[101:], late]


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "9" * 30, "\u0661", "9-1", "1-2-3"])
def test_list_refuses_a_position_it_did_not_give(
    http: httpx.Client, repository: str, last: str
) -> None:
    answer = http.get(f"/v2/{repository}/referrers/{SUBJECT}", params={"last": last})

    expected = "'last' must be what a Link header of this repository said"
    assert error_of(answer) == (400, "UNSUPPORTED", expected)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again"])
def test_push_tells_that_the_subject_was_seen(http: httpx.Client, place: str, times: int) -> None:
    document = referrer_to(SUBJECT)

    answers = [put_manifest(http, place, "a-tag", document) for _ in range(times)]

    assert [answer.status_code for answer in answers] == [201] * times
    assert [answer.headers["OCI-Subject"] for answer in answers] == [SUBJECT] * times


def test_push_without_a_subject_tells_of_none(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_image(http, repository, image)

    answer = put_manifest(http, repository, "latest", image.manifest)

    assert answer.status_code == 201
    assert "OCI-Subject" not in answer.headers


def test_refused_referrer_is_not_listed(http: httpx.Client, repository: str) -> None:
    answer = put_manifest(http, repository, "no-config", referrer_to(SUBJECT))

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")
    assert "OCI-Subject" not in answer.headers
    assert listed(list_referrers(http, repository).text) == []


def test_referrers_outlive_their_subject(http: httpx.Client, place: str) -> None:
    image = make_image()
    digest = push(http, place, referrer_to(image.digest))
    path = f"/v2/{place}/referrers/{image.digest}"
    before = http.get(path)
    push_image(http, place, image, "latest")
    beside = http.get(path)

    deleted = http.delete(f"/v2/{place}/manifests/{image.digest}")

    assert deleted.status_code == 202
    assert http.get(f"/v2/{place}/manifests/{image.digest}").status_code == 404
    assert [listed(one.text) for one in (before, beside, http.get(path))] == [[digest]] * 3
    assert http.get(f"/v2/{place}/manifests/{digest}").status_code == 200


def test_referrers_may_have_referrers(http: httpx.Client, place: str) -> None:
    sbom = push(http, place, referrer_to(SUBJECT, artifactType=SBOM))
    signature = push(http, place, referrer_to(sbom, artifactType=SIGNATURE))

    answer = http.get(f"/v2/{place}/referrers/{sbom}")

    assert listed(answer.text) == [signature]
    assert listed(list_referrers(http, place).text) == [sbom]


def test_subject_may_be_a_sha512_digest(http: httpx.Client, place: str) -> None:
    subject = "sha512:" + "a" * 128
    digest = push(http, place, referrer_to(subject))

    answer = http.get(f"/v2/{place}/referrers/{subject}")

    assert answer.status_code == 200
    assert listed(answer.text) == [digest]


def test_referrers_are_those_of_one_repository(
    http: httpx.Client, place: str, make_repository: Callable[[], str]
) -> None:
    push(http, place, referrer_to(SUBJECT))
    other = make_repository()

    answer = list_referrers(http, other)

    assert listed(answer.text) == []


def test_list_needs_a_repository(http: httpx.Client) -> None:
    answer = http.get(f"/v2/no/such/referrers/{SUBJECT}")

    assert error_of(answer)[:2] == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    "subject",
    ["latest", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "md5:" + "0" * 32, "%00"],
)
def test_list_refuses_what_is_no_digest(http: httpx.Client, repository: str, subject: str) -> None:
    answer = http.get(f"/v2/{repository}/referrers/{subject}")

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")


def test_referrers_of_another_account_are_not_there(as_account: Callable[[str], Server]) -> None:
    owner, stranger = as_account("111111111111"), as_account("222222222222")
    owner.ecr().create_repository(repositoryName="referrers/owned")
    host = {"Host": f"111111111111.dkr.ecr.us-east-1.localhost:{owner.port}"}
    with owner.http() as http:
        push_blob(http, "referrers/owned", EMPTY.content)
        digest = push(http, "referrers/owned", referrer_to(SUBJECT))
    path = f"/v2/referrers/owned/referrers/{SUBJECT}"

    with owner.http() as own, stranger.http() as strange:
        answers = own.get(path, headers=host), strange.get(path, headers=host)

    assert listed(answers[0].text) == [digest]
    assert error_of(answers[1])[:2] == (404, "NAME_UNKNOWN")


def test_list_kept_by_an_old_client_under_its_tag_works_beside(
    http: httpx.Client, place: str
) -> None:
    documents = [referrer_to(SUBJECT), referrer_to(SUBJECT, artifactType=SBOM)]
    digests = [push(http, place, document) for document in documents]
    tag = SUBJECT.replace(":", "-")
    indexes = [index_of(OCI_INDEX, OCI_MANIFEST, *documents[:count]) for count in range(1, 3)]

    answers = [put_manifest(http, place, tag, index, OCI_INDEX) for index in indexes]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert http.get(f"/v2/{place}/manifests/{tag}").text == indexes[1]
    assert listed(list_referrers(http, place).text) == digests
    assert http.get(f"/v2/{place}/tags/list").json()["tags"] == [tag]


def test_referrer_in_an_old_clients_list_goes_after_the_list(
    http: httpx.Client, place: str
) -> None:
    document = referrer_to(SUBJECT)
    digest = push(http, place, document)
    index = index_of(OCI_INDEX, OCI_MANIFEST, document)
    tag = SUBJECT.replace(":", "-")
    assert put_manifest(http, place, tag, index, OCI_INDEX).status_code == 201

    paths = (digest, digest_of(index.encode()), digest)
    answers = [http.delete(f"/v2/{place}/manifests/{reference}") for reference in paths]

    assert [answer.status_code for answer in answers] == [405, 202, 202]
    assert listed(list_referrers(http, place).text) == []
