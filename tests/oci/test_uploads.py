"""Uploads at the registry door: every way to push a blob, its status, its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.images import digest_of
from tests.support.registry import (
    KIB,
    MIB,
    error_of,
    files_of,
    finish_upload,
    pull_blob,
    push_blob,
    size_of,
    some_bytes,
    start_upload,
    upload_file,
)
from tests.support.server import ACCOUNT, Server

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

Push = Callable[[httpx.Client, str, bytes], httpx.Response]


def in_pieces(content: bytes) -> Iterator[bytes]:
    """Give the content piecewise, so that it is sent with chunked transfer encoding."""
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def post_put(http: httpx.Client, repository: str, content: bytes) -> httpx.Response:
    location = start_upload(http, repository)
    return http.put(location, params={"digest": digest_of(content)}, content=content)


def post_patch_put(http: httpx.Client, repository: str, content: bytes) -> httpx.Response:
    location = start_upload(http, repository)
    location = http.patch(location, content=content).headers["Location"]
    return finish_upload(http, location, content)


def post_stream_put(http: httpx.Client, repository: str, content: bytes) -> httpx.Response:
    """As docker does: the body's length is not known when it begins."""
    location = start_upload(http, repository)
    location = http.patch(location, content=in_pieces(content)).headers["Location"]
    return finish_upload(http, location, content)


def post_put_streamed(http: httpx.Client, repository: str, content: bytes) -> httpx.Response:
    location = start_upload(http, repository)
    return http.put(location, params={"digest": digest_of(content)}, content=in_pieces(content))


def single_post(http: httpx.Client, repository: str, content: bytes) -> httpx.Response:
    return http.post(
        f"/v2/{repository}/blobs/uploads/",
        params={"digest": digest_of(content)},
        content=content,
    )


def in_ranges(http: httpx.Client, repository: str, content: bytes) -> httpx.Response:
    """Two chunks by PATCH and a last one by PUT, each with its Content-Range."""
    location = start_upload(http, repository)
    third = max(len(content) // 3, 1)
    for start in (0, third):
        piece = content[start : start + third]
        headers = {"Content-Range": f"{start}-{start + len(piece) - 1}"}
        answer = http.patch(location, content=piece, headers=headers)
        assert answer.status_code == 202, answer.text
    last = content[2 * third :]
    headers = {"Content-Range": f"{2 * third}-{len(content) - 1}"}
    digest = digest_of(content)
    return http.put(location, params={"digest": digest}, content=last, headers=headers)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(3, id="3B"),
        pytest.param(64 * KIB, id="64KiB"),
        pytest.param(MIB - 1, id="just-below-1MiB"),
        pytest.param(MIB, id="1MiB"),
        pytest.param(7 * MIB + 1, id="7MiB+1"),
    ],
)
@pytest.mark.parametrize(
    "push",
    [post_put, post_patch_put, post_stream_put, post_put_streamed, single_post, in_ranges],
)
def test_push_stores_the_blob(http: httpx.Client, repository: str, push: Push, size: int) -> None:
    content = some_bytes(size, push.__name__)

    answer = push(http, repository, content)

    digest = digest_of(content)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v2/{repository}/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.content == b""
    assert pull_blob(http, repository, digest) == content


@pytest.mark.parametrize("push", [post_put, post_patch_put, post_stream_put, single_post])
def test_push_stores_an_empty_blob(http: httpx.Client, repository: str, push: Push) -> None:
    answer = push(http, repository, b"")

    assert answer.status_code == 201
    assert pull_blob(http, repository, digest_of(b"")) == b""


def test_push_of_what_is_there_succeeds(http: httpx.Client, repository: str) -> None:
    content = some_bytes(1000, "twice")

    answers = [post_put(http, repository, content) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]


def test_push_of_the_same_to_two_repositories(
    http: httpx.Client, make_repository: Callable[[], str]
) -> None:
    content = some_bytes(54_321, "shared")
    repositories = [make_repository(), make_repository()]

    digests = [push_blob(http, repository, content) for repository in repositories]

    pulled = [pull_blob(http, repository, digests[0]) for repository in repositories]
    assert pulled == [content, content]


def test_post_begins_an_upload(http: httpx.Client, repository: str) -> None:
    answer = http.post(f"/v2/{repository}/blobs/uploads/")

    assert answer.status_code == 202
    pattern = f"/v2/{re.escape(repository)}/blobs/uploads/({UUID})"
    match = re.fullmatch(pattern, answer.headers["Location"])
    assert match is not None
    assert answer.headers["Docker-Upload-UUID"] == match[1]
    assert answer.headers["Range"] == "0-0"
    assert answer.headers["Content-Length"] == "0"


def test_post_without_trailing_slash_begins_an_upload(http: httpx.Client, repository: str) -> None:
    answer = http.post(f"/v2/{repository}/blobs/uploads")

    assert answer.status_code == 202


def test_post_needs_a_repository(http: httpx.Client) -> None:
    answer = http.post("/v2/no/such/blobs/uploads/")

    expected = (
        f"The repository with name 'no/such' does not exist in the registry with id '{ACCOUNT}'"
    )
    assert error_of(answer) == (404, "NAME_UNKNOWN", expected)


def test_patch_tells_how_far_the_upload_is(http: httpx.Client, upload: str) -> None:
    first = http.patch(upload, content=b"a" * 1000)
    second = http.patch(upload, content=b"b" * 500)

    assert [one.status_code for one in (first, second)] == [202, 202]
    assert [one.headers["Range"] for one in (first, second)] == ["0-999", "0-1499"]
    assert second.headers["Location"] == upload
    assert upload.endswith(second.headers["Docker-Upload-UUID"])


def test_get_upload_tells_how_far_it_is(http: httpx.Client, upload: str) -> None:
    before = http.get(upload)
    http.patch(upload, content=b"a" * 1000)

    after = http.get(upload)

    assert (before.status_code, before.headers["Range"]) == (204, "0-0")
    assert (after.status_code, after.headers["Range"]) == (204, "0-999")
    assert after.headers["Location"] == upload
    assert upload.endswith(after.headers["Docker-Upload-UUID"])


def test_delete_upload_ends_it(http: httpx.Client, upload: str) -> None:
    http.patch(upload, content=b"a" * 1000)

    answer = http.delete(upload)

    assert answer.status_code == 204
    after = [
        http.get(upload),
        http.patch(upload, content=b"b"),
        finish_upload(http, upload, b"a" * 1000),
        http.delete(upload),
    ]
    codes = [error_of(one)[:2] for one in after]
    assert codes == [(404, "BLOB_UPLOAD_UNKNOWN")] * 4


@pytest.mark.parametrize(
    ("method", "query"),
    [("GET", ""), ("PATCH", ""), ("PUT", f"?digest={digest_of(b'')}"), ("DELETE", "")],
    ids=["get", "patch", "put", "delete"],
)
@pytest.mark.parametrize(
    "upload_id",
    [
        pytest.param("00000000-0000-4000-8000-000000000000", id="unknown"),
        pytest.param("x", id="no-uuid"),
        pytest.param("%2e%2e", id="parent-folder"),
        pytest.param("%00", id="nul"),
        pytest.param("%", id="percent"),
        pytest.param("'%20OR%201=1%20--", id="sql"),
        pytest.param("%ff", id="not-utf8"),
        pytest.param("a" * 4000, id="long"),
    ],
)
def test_upload_that_is_not_there(
    http: httpx.Client, repository: str, method: str, query: str, upload_id: str
) -> None:
    answer = http.request(method, f"/v2/{repository}/blobs/uploads/{upload_id}{query}")

    status, code, message = error_of(answer)
    assert (status, code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert message.endswith(
        f"in the repository with name '{repository}' in registry with id '{ACCOUNT}' "
        "could not be found"
    )


@pytest.mark.parametrize(
    "content_range",
    [
        pytest.param("1000-1009", id="plain"),
        pytest.param("bytes 1000-1009/*", id="http"),
        pytest.param("bytes=1000-1009", id="equals-sign"),
        pytest.param("bytes 1000-1009/5000", id="with-a-total"),
    ],
)
def test_patch_accepts_the_range_that_is_next(
    http: httpx.Client, upload: str, content_range: str
) -> None:
    http.patch(upload, content=b"a" * 1000)

    answer = http.patch(upload, content=b"b" * 10, headers={"Content-Range": content_range})

    assert answer.status_code == 202
    assert answer.headers["Range"] == "0-1009"


WRONG_OFFSET = "First byte of the layer part is {} instead of 1000"
NO_RANGE = "Content-Range must be '<first>-<last>'"


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    ("content_range", "error"),
    [
        pytest.param("0-9", (416, "BLOB_UPLOAD_INVALID", WRONG_OFFSET.format(0)), id="overlap"),
        pytest.param(
            "1001-1010", (416, "BLOB_UPLOAD_INVALID", WRONG_OFFSET.format(1001)), id="gap"
        ),
        pytest.param(
            "1000-1010",
            (400, "SIZE_INVALID", "Content-Range is 11 bytes, the body 10"),
            id="longer-than-the-body",
        ),
        pytest.param(
            "1000-1008",
            (400, "SIZE_INVALID", "Content-Range is 9 bytes, the body 10"),
            id="shorter-than-the-body",
        ),
        pytest.param(
            "1000-999",
            (400, "SIZE_INVALID", "Content-Range is 0 bytes, the body 10"),
            id="nothing",
        ),
        pytest.param("", (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="empty"),
        pytest.param("1000-", (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="no-end"),
        pytest.param("-1009", (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="no-begin"),
        pytest.param("-5-4", (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="negative"),
        pytest.param("a-b", (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="letters"),
        pytest.param("1e3-1009", (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="exponent"),
        pytest.param(
            "1000-" + "9" * 5000, (400, "BLOB_UPLOAD_INVALID", NO_RANGE), id="too-many-digits"
        ),
    ],
)
def test_chunk_at_a_wrong_place_is_refused(
    http: httpx.Client,
    upload: str,
    method: str,
    content_range: str,
    error: tuple[int, str, str],
) -> None:
    http.patch(upload, content=b"a" * 1000)
    digest = digest_of(b"a" * 1000 + b"b" * 10)

    answer = http.request(
        method,
        f"{upload}?digest={digest}",
        content=b"b" * 10,
        headers={"Content-Range": content_range},
    )

    assert error_of(answer) == error
    assert size_of(http, upload) == 1000
    assert finish_upload(http, upload, b"a" * 1000).status_code == 201


@pytest.mark.parametrize("size", [9, 11])
def test_streamed_chunk_has_to_be_as_long_as_its_range(
    http: httpx.Client, upload: str, size: int
) -> None:
    answer = http.patch(upload, content=iter([b"a" * size]), headers={"Content-Range": "0-9"})

    message = "The body is not as long as its Content-Range"
    assert error_of(answer) == (400, "SIZE_INVALID", message)
    assert http.get(upload).headers["Range"] == "0-0"


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param("", id="empty"),
        pytest.param("latest", id="no-digest"),
        pytest.param("sha256:", id="no-hex"),
        pytest.param("sha256:" + "g" * 64, id="letters"),
        pytest.param("sha256:" + "A" * 64, id="capitals"),
        pytest.param("sha256:" + "a" * 63, id="short"),
        pytest.param("sha256:" + "a" * 65, id="long"),
        pytest.param("md5:d41d8cd98f00b204e9800998ecf8427e", id="other-algorithm"),
        pytest.param("sha256:../../../../etc/passwd", id="traversal"),
    ],
)
def test_put_upload_refuses_a_malformed_digest(
    http: httpx.Client, upload: str, digest: str
) -> None:
    http.patch(upload, content=b"a" * 1000)

    answer = http.put(upload, params={"digest": digest}, content=b"b")

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")
    assert size_of(http, upload) == 1000


def test_put_upload_needs_a_digest(http: httpx.Client, upload: str) -> None:
    answer = http.put(upload, content=b"a" * 10)

    message = "The query parameter 'digest' is missing"
    assert error_of(answer) == (400, "DIGEST_INVALID", message)


@pytest.mark.parametrize("size", [10, 5 * MIB], ids=["small", "large"])
def test_put_upload_refuses_a_digest_the_bytes_do_not_have(
    server: Server, http: httpx.Client, upload: str, size: int
) -> None:
    content, other = some_bytes(size, "right"), digest_of(some_bytes(size, "wrong"))
    before = files_of(server)

    answer = http.put(upload, params={"digest": other}, content=content)

    message = f"Layer digest '{other}' does not match calculated digest '{digest_of(content)}'"
    assert error_of(answer) == (400, "DIGEST_INVALID", message)
    blobs = upload.replace("uploads/" + upload.rpartition("/")[2], other)
    assert http.head(blobs).status_code == 404
    assert files_of(server) - before == {f"uploads/{upload_file(server, upload).name}"}
    assert finish_upload(http, upload, content).status_code == 201


def test_single_post_refuses_a_digest_the_bytes_do_not_have(
    http: httpx.Client, repository: str
) -> None:
    answer = http.post(
        f"/v2/{repository}/blobs/uploads/", params={"digest": digest_of(b"a")}, content=b"b"
    )

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")
    assert http.head(f"/v2/{repository}/blobs/{digest_of(b'a')}").status_code == 404
    assert http.head(f"/v2/{repository}/blobs/{digest_of(b'b')}").status_code == 404


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(0, id="no-body"),
        pytest.param(1000, id="small-body"),
        pytest.param(5 * MIB, id="large-body"),
    ],
)
def test_put_upload_repeated_gives_the_first_answer(
    http: httpx.Client, repository: str, upload: str, size: int
) -> None:
    content = some_bytes(size, "repeated")
    digest = digest_of(content)

    answers = [http.put(upload, params={"digest": digest}, content=content) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3
    assert {answer.headers["Location"] for answer in answers} == {
        f"/v2/{repository}/blobs/{digest}"
    }
    assert {answer.headers["Docker-Content-Digest"] for answer in answers} == {digest}
    assert pull_blob(http, repository, digest) == content


def test_put_upload_repeated_with_another_digest_is_refused(
    http: httpx.Client, upload: str
) -> None:
    http.put(upload, params={"digest": digest_of(b"a")}, content=b"a")

    answer = http.put(upload, params={"digest": digest_of(b"b")}, content=b"b")

    message = (
        f"Layer digest '{digest_of(b'b')}' does not match calculated digest '{digest_of(b'a')}'"
    )
    assert error_of(answer) == (400, "DIGEST_INVALID", message)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_completed_upload_is_over(http: httpx.Client, upload: str, method: str) -> None:
    http.put(upload, params={"digest": digest_of(b"a")}, content=b"a")

    answer = http.request(method, upload)

    assert error_of(answer)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
    assert finish_upload(http, upload, b"a").status_code == 201


def test_completed_upload_leaves_no_file_but_the_blob(
    server: Server, http: httpx.Client, upload: str
) -> None:
    content = some_bytes(2 * MIB, "only file")
    before = files_of(server)

    http.patch(upload, content=content)
    finish_upload(http, upload, content)

    name = upload_file(server, upload).name
    assert files_of(server) - before == {f"blobs/{name[:2]}/{name}"}
