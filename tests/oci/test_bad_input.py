"""Whatever a client sends gets an answer, and the right one: requests made up at random.

Tables of single cases stand in the tests of what they are cases of; cases that random requests
brought to light in test_findings.py.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecrate.domain.images import MANIFEST_TYPES
from tests.fuzz import texts
from tests.fuzz.texts import as_headers, mixed, spoiled
from tests.support.images import OCI_INDEX, digest_of, make_image
from tests.support.registry import error_of, push_blob, push_image, start_upload
from tests.support.server import Server, running_server
from tests.support.wire import Answer, Wire

SETTINGS = {"ECRATE_SPARSE_MANIFESTS": "true", "ECRATE_ANONYMOUS_PULL": "true"}
PLACE = "bad/input"
EMPTY = "bad/empty"
CONTENT = bytes(range(256)) * 4
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DENIED", "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID",
    "NAME_UNKNOWN", "SIZE_INVALID", "TAG_INVALID", "TOOMANYREQUESTS", "UNAUTHORIZED", "UNSUPPORTED",
}  # fmt: skip
NOT_SENT = re.compile(r"[\x00-\x1f\x7f]")  # the HTTP parser ends connections over these


@pytest.fixture(scope="module")
def hostile() -> Iterator[Server]:
    """A server for requests that may do anything to `PLACE`, which has an image and a blob."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env=SETTINGS) as running,
        running.http() as http,
    ):
        running.ecr().create_repository(repositoryName=PLACE)
        running.ecr().create_repository(repositoryName=EMPTY)
        push_image(http, PLACE, make_image(), "latest")
        push_blob(http, PLACE, CONTENT)
        yield running


@pytest.fixture(scope="module")
def client(hostile: Server) -> Iterator[httpx.Client]:
    with hostile.http() as http:
        yield http


def in_path(text: str) -> str:
    """Give the text as a client sends it in a path, its own escapes as they are."""
    return quote(text, safe="/%:._-~!$&'()*+,;=@", errors="surrogatepass")


references = spoiled(st.one_of(texts.tags, texts.digests, st.just("latest"), texts.upload_ids))
repositories = st.just(PLACE) | spoiled(st.just(PLACE)) | spoiled(texts.names)
routes = st.sampled_from(
    ["manifests", "blobs", "blobs/uploads", "referrers", "tags", "_catalog", "token", ".."]
)
paths = st.one_of(
    st.builds("/v2/{}/{}/{}".format, repositories, routes, references),
    st.builds("/v2/{}/tags/list".format, repositories),
    mixed("manifests", "/", "blobs", "uploads", PLACE, "latest").map("/v2/".__add__),
).map(in_path)
values = st.one_of(
    spoiled(st.one_of(texts.tags, texts.digests, texts.names)),
    mixed("sha256", "sha512", "5", "application/json"),
).map(lambda text: quote(text, errors="surrogatepass"))
parameters = st.sampled_from(
    ["n", "last", "tag", "digest", "mount", "from", "artifactType", "digest-algorithm", "scope"]
)
queries = st.lists(st.builds("{}={}".format, parameters, values), max_size=4).map("&".join)
headers = st.dictionaries(
    st.sampled_from(
        ["Authorization", "Host", "Range", "If-Range", "If-None-Match", "Content-Range", "Accept"]
    )
    | st.sampled_from(["Content-Type", "X-Request-Id", "Docker-Content-Digest"]),
    as_headers(
        mixed("Basic ", "Bearer ", "QVdTOjA=", "bytes=", "0-5", '"', "*", "W/", "localhost")
    ),
    max_size=3,
).map(lambda found: {name: NOT_SENT.sub("", value) for name, value in found.items()})
bodies = texts.manifests | st.binary(max_size=30) | st.just(CONTENT)
requests = st.tuples(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]),
    st.builds("{}?{}".format, paths, queries),
    headers,
    bodies,
)


def ask(
    server: Server, method: str, target: str, given_headers: dict[str, str], body: bytes
) -> Answer:
    """Send a request in one piece, so that an early refusal cannot cut it off."""
    with Wire(server) as wire:
        lines: dict[str, str | int] = {**given_headers, "Content-Length": len(body)}
        wire.send(wire.text(method, target, lines) + body)
        return wire.answer(has_body=method != "HEAD")


@settings(max_examples=300)
@given(request=requests)
def test_every_request_gets_an_answer_of_the_specification(
    hostile: Server, request: tuple[str, str, dict[str, str], bytes]
) -> None:
    answer = ask(hostile, *request)

    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    errors = json.loads(answer.body).get("errors", []) if is_json and answer.body else []
    assert 200 <= answer.status < 500, answer.body
    assert {error["code"] for error in errors} <= CODES
    assert (answer.status >= 400) or not errors


@settings(max_examples=120)
@given(request=requests)
def test_every_request_of_the_nameless_gets_an_answer(
    hostile: Server, request: tuple[str, str, dict[str, str], bytes]
) -> None:
    method, target, given_headers, body = request
    nameless = {**given_headers, "Authorization": "None"}

    answer = ask(hostile, method, target, nameless, body)

    assert answer.status in {200, 400, 401, 403, 404, 405}, answer.body
    challenge = answer.headers.get("WWW-Authenticate", "")
    assert (answer.status == 401) == bool(challenge)
    scope = re.search(r',scope="repository:([^"]*):(pull|pull,push)"$', challenge)
    assert scope is None or re.fullmatch(r"[a-z0-9._/-]{2,256}", scope[1])


@settings(max_examples=100)
@given(name=spoiled(texts.names) | mixed("a", "b0", "/", "-", "x" * 255))
def test_name_is_unknown_or_invalid(client: httpx.Client, name: str) -> None:
    fits = re.fullmatch(
        r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*", name
    )

    answer = client.get(f"/v2/{quote(name, errors='surrogatepass')}/manifests/latest")

    expected = "NAME_UNKNOWN" if fits and 2 <= len(name) <= 256 else "NAME_INVALID"
    assert error_of(answer)[:2] == (404, expected)


@settings(max_examples=100)
@given(reference=spoiled(texts.tags | texts.digests).filter(lambda text: "/" not in text))
def test_reference_is_unknown_or_invalid(client: httpx.Client, reference: str) -> None:
    path = f"/v2/{EMPTY}/manifests/{quote(reference, errors='surrogatepass')}"
    is_tag = re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", reference)
    is_digest = re.fullmatch(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", reference)

    got, deleted = client.get(path), client.delete(path)

    refused = (400, "DIGEST_INVALID" if ":" in reference else "TAG_INVALID")
    unknown = (404, "MANIFEST_UNKNOWN")
    assert error_of(got)[:2] == unknown
    assert error_of(deleted)[:2] == (unknown if is_tag or is_digest else refused)


@settings(max_examples=250, suppress_health_check=[HealthCheck.large_base_example])
@given(content=texts.manifests, declared=st.none() | texts.media_types.map(in_path))
def test_manifest_is_kept_as_it_is_or_refused(
    client: httpx.Client, content: bytes, declared: str | None
) -> None:
    path = f"/v2/{PLACE}/manifests/{digest_of(content)}"

    put = client.put(path, content=content, headers={"Content-Type": declared} if declared else {})
    got = client.get(path)
    deleted = client.delete(path)

    assert put.status_code in {201, 400}, put.text
    assert put.status_code == 201 or error_of(put)[1] == "MANIFEST_INVALID"
    assert (got.status_code == 200) == (put.status_code == 201)
    assert got.status_code == 404 or got.content == content
    assert got.status_code == 404 or got.headers["Content-Type"] in MANIFEST_TYPES
    assert (deleted.status_code == 202) == (put.status_code == 201)


def test_lists_hold_whatever_manifests_were_accepted(hostile: Server, client: httpx.Client) -> None:
    subject, kind = "sha256:" + "5" * 64, '\u2028\ufffe\U0001f600\\"'
    note = f"\0{kind}"
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [],
            "artifactType": kind,
            "annotations": {note: note},
            "subject": {"mediaType": kind, "digest": subject, "size": 0},
        }
    )
    pushed = client.put(f"/v2/{PLACE}/manifests/odd", content=index)

    described = hostile.ecr().describe_images(repositoryName=PLACE, imageIds=[{"imageTag": "odd"}])
    (referrer,) = client.get(f"/v2/{PLACE}/referrers/{subject}").json()["manifests"]

    assert pushed.status_code == 201
    assert (referrer["artifactType"], referrer["annotations"]) == (kind, {note: note})
    assert described["imageDetails"][0]["artifactMediaType"] == kind


@settings(max_examples=120)
@given(
    content_range=as_headers(
        st.builds("{}-{}".format, st.integers(0, 30), st.integers(0, 30))
        | mixed("bytes ", "0", "-", "9", "/*")
    ).map(lambda text: NOT_SENT.sub("", text)),
    size=st.integers(0, 20),
    begun=st.sampled_from([0, 10]),
)
def test_chunk_is_appended_at_the_end_or_refused(
    hostile: Server, client: httpx.Client, content_range: str, size: int, begun: int
) -> None:
    location = start_upload(client, PLACE)
    client.patch(location, content=b"a" * begun)

    answer = ask(hostile, "PATCH", location, {"Content-Range": content_range}, b"b" * size)

    ended = client.get(location).headers["Range"]
    match = re.fullmatch(
        r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?", content_range.strip()
    )
    first, last = (int(match[1]), int(match[2])) if match else (-1, -1)
    fits = (first, last) == (begun, begun + size - 1)
    expected = 202 if fits else 416 if match and first != begun else 400
    assert answer.status == expected, answer.body
    assert ended == f"0-{max(begun + (size if fits else 0) - 1, 0)}"


@settings(max_examples=120)
@given(
    asked=as_headers(
        st.builds("bytes={}-{}".format, st.integers(0, 1100), st.integers(0, 1100))
        | mixed("bytes=", "-", "0", "1023", "1024", ",")
    ).map(lambda text: NOT_SENT.sub("", text))
)
def test_range_is_what_its_answer_says(hostile: Server, asked: str) -> None:
    path = f"/v2/{PLACE}/blobs/{digest_of(CONTENT)}"

    answer = ask(hostile, "GET", path, {"Range": asked}, b"")

    told = answer.headers.get("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
    first, last = re.findall(r"(\d+)-(\d+)/1024", told)[0] if answer.status != 416 else (0, -1)
    assert answer.status in {200, 206, 416}
    assert answer.body == CONTENT[int(first) : int(last) + 1]
    assert (answer.status == 200) == ("Content-Range" not in answer.headers)
