"""How the S3 driver talks to its store: sums, failures, credentials, URLs."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable

import httpx
import pytest

from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.presigning import Credentials
from ecrate.blobs.s3.store import S3Blobs
from ecrate.domain.errors import StorageFull, StoreUnavailable
from tests.support.proxy import (
    ACCEPTED,
    BAD_REQUEST,
    Proxy,
    answering,
    once,
    running_proxy,
)
from tests.support.rows import Uploads
from tests.support.seaweed import BUCKET, KEY, S3Server

pytestmark = pytest.mark.s3

MIB = 1024 * 1024
CONTENT = os.urandom(26 * MIB)


@pytest.fixture
def uploads(s3_uploads: Uploads) -> Uploads:
    return s3_uploads


@pytest.mark.parametrize("request_name", ["PUT", "PUT partNumber=2"])
def test_bytes_spoilt_on_their_way_are_refused(
    uploads: Uploads, proxy: Proxy, key: str, request_name: str
) -> None:
    proxy.spoils = once(request_name)
    content = CONTENT[:MIB] if request_name == "PUT" else CONTENT

    with pytest.raises(StoreUnavailable):
        uploads.write(key, content)

    assert uploads.row(key).size == 0


FULL = (
    b"HTTP/1.1 507 Insufficient Storage\r\n"
    b"Content-Type: application/xml\r\nContent-Length: 58\r\n\r\n"
    b"<Error><Code>XMinioStorageFull</Code><Message/></Error>   "
)


def test_store_that_is_full_says_so(uploads: Uploads, proxy: Proxy, key: str) -> None:
    proxy.answers = answering("PUT", FULL)

    with pytest.raises(StorageFull):
        uploads.write(key, b"content")


def test_store_that_is_away_is_unavailable(s3_server: S3Server, key: str) -> None:
    with running_proxy(s3_server.port) as gone:
        pass
    uploads = Uploads(S3Blobs(s3_server.make_address(endpoint=gone.endpoint), KEY))

    with pytest.raises(StoreUnavailable):
        uploads.write(key, b"content")


@pytest.mark.parametrize(
    ("change", "credentials", "reason"),
    [
        pytest.param({"bucket": "no-such-bucket"}, KEY, "NoSuchBucket", id="bucket"),
        pytest.param({}, Credentials(KEY.key_id, "wrong"), "SignatureDoesNotMatch", id="secret"),
        pytest.param({}, Credentials("AKIDUNKNOWN", "x"), "InvalidAccessKeyId", id="key"),
        pytest.param({"endpoint": "http://127.0.0.1:1"}, KEY, "Could not connect", id="away"),
    ],
)
def test_check_says_what_is_wrong(
    s3_server: S3Server, change: dict[str, str], credentials: Credentials, reason: str
) -> None:
    place = {"bucket": BUCKET, "endpoint": s3_server.endpoint} | change
    blobs = S3Blobs(S3Address(**place), credentials)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=reason):
        blobs.check()


def test_check_finds_no_credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(ValueError, match="credentials"):
        S3Blobs(s3_server.make_address()).check()


def test_store_takes_the_environments_credentials(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    uploads = Uploads(S3Blobs(s3_server.make_address()))
    uploads.write(key, b"content")

    url = uploads.blobs.url(uploads.commit(key).key, 60)

    assert httpx.get(url or "").content == b"content"


def test_check_refuses_a_store_that_checks_nothing(proxy: Proxy) -> None:
    proxy.answers = answering("PUT partNumber", ACCEPTED)
    blobs = S3Blobs(S3Address(BUCKET, endpoint=proxy.endpoint), KEY)

    with pytest.raises(ValueError, match="none of CRC-32, SHA-256, MD5"):
        blobs.check()


def like_aws(name: str, head: bytes, body: bytes) -> bytes:
    """Refuse what AWS refuses: CRC-32 with a part, and a body that is not the signed one."""
    if not name.startswith("PUT"):
        return b""
    signed = re.search(rb"(?i)x-amz-content-sha256: ([0-9a-f]{64})", head)
    is_right = signed is not None and signed[1].decode() == hashlib.sha256(body).hexdigest()
    return b"" if is_right and b"crc32" not in head.lower() else BAD_REQUEST


def without_crc32(_: str, head: bytes, __: bytes) -> bytes:
    return BAD_REQUEST if b"crc32" in head.lower() else b""


@pytest.mark.parametrize(
    "answers", [pytest.param(like_aws, id="sha256"), pytest.param(without_crc32, id="md5")]
)
def test_store_that_checks_another_sum_is_sent_that(
    s3_server: S3Server, proxy: Proxy, key: str, answers: Callable[[str, bytes, bytes], bytes]
) -> None:
    proxy.answers = answers
    uploads = Uploads(S3Blobs(s3_server.make_address(endpoint=proxy.endpoint), KEY))
    uploads.write(key, CONTENT)
    proxy.spoils = once("PUT partNumber=3")

    with pytest.raises(StoreUnavailable):
        uploads.write(key, CONTENT)

    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_url_gives_the_bytes_to_anybody(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    url = uploads.blobs.url(uploads.commit(key).key, 60) or ""

    whole, part = httpx.get(url), httpx.get(url, headers={"Range": "bytes=3-5"})

    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content) == (206, CONTENT[3:6])
    assert whole.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=61", id="longer"),
        pytest.param("AKIDSEAWEED", "AKIDANOTHER", id="other-key"),
        pytest.param(".", ".0", id="other-object"),
    ],
)
def test_url_is_good_for_nothing_else(uploads: Uploads, key: str, old: str, new: str) -> None:
    uploads.write(key, b"content")
    base, dot, rest = (uploads.blobs.url(uploads.commit(key).key, 60) or "").rpartition(key)

    answer = httpx.get(base + dot + rest.replace(old, new, 1))

    assert answer.status_code == 403


def test_url_expires(uploads: Uploads, key: str) -> None:
    uploads.write(key, b"content")
    url = uploads.blobs.url(uploads.commit(key).key, 1) or ""
    time.sleep(2.1)

    assert httpx.get(url).status_code == 403


def test_url_leads_to_the_public_endpoint(s3_server: S3Server, key: str) -> None:
    public = f"http://localhost:{s3_server.port}"
    uploads = Uploads(S3Blobs(s3_server.make_address(public_endpoint=public), KEY))
    uploads.write(key, b"content")

    url = uploads.blobs.url(uploads.commit(key).key, 60) or ""

    assert url.startswith(f"{public}/{BUCKET}/")
    assert httpx.get(url).content == b"content"


def test_store_without_redirects_has_no_url(s3_server: S3Server) -> None:
    blobs = S3Blobs(s3_server.make_address(), KEY, redirects=False)

    assert blobs.url("any", 60) is None
