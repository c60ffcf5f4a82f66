"""Signature Version 4 at the AWS door: what is genuine, and how all else is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.sigv4 import Signature, is_genuine, parse_signature, sign_headers
from tests.support.server import Server, running_server
from tests.support.signing import answer_on, call, error_of, post, presign, sent_head, sign

OPERATION = "DescribeRepositories"
INVALID_CLIENT = "The security token included in the request is invalid."
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in development mode."""
    with running_server(tmp_path_factory.mktemp("open") / "data", "--dev") as running:
        yield running


def minutes_off(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def test_signature_in_the_header_is_accepted(server: Server) -> None:
    answer = call(server, OPERATION)

    assert answer.status_code == 200
    assert "repositories" in answer.json()


def test_signature_in_the_query_is_accepted(server: Server) -> None:
    url, headers = presign(server, OPERATION)

    answer = post(server, headers, url=url)

    assert answer.status_code == 200


@pytest.mark.parametrize("minutes", [pytest.param(-4.5, id="old"), pytest.param(4.5, id="ahead")])
def test_signature_within_the_skew_is_accepted(server: Server, minutes: float) -> None:
    headers = sign(server, OPERATION, at=minutes_off(minutes))

    answer = post(server, headers)

    assert answer.status_code == 200


def test_signature_older_than_the_skew_is_expired(server: Server) -> None:
    headers = sign(server, OPERATION, at=minutes_off(-6))

    status, code, message = error_of(post(server, headers))

    assert (status, code) == (400, "InvalidSignatureException")
    assert message.startswith(f"Signature expired: {headers['X-Amz-Date']} is now earlier than 2")
    assert message.endswith(" - 5 min.)")


def test_signature_ahead_of_the_skew_is_not_yet_current(server: Server) -> None:
    headers = sign(server, OPERATION, at=minutes_off(6))

    status, code, message = error_of(post(server, headers))

    assert (status, code) == (400, "InvalidSignatureException")
    assert message.startswith(f"Signature not yet current: {headers['X-Amz-Date']} is still later")
    assert message.endswith(" + 5 min.)")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(
            {"key_id": "AKIAIOSFODNN7EXAMPLE"},
            "UnrecognizedClientException",
            INVALID_CLIENT,
            id="unknown-key",
        ),
        pytest.param({"secret": "wrong"}, "InvalidSignatureException", MISMATCH, id="secret"),
        pytest.param(
            {"token": "FwoGZXIvYXdzEXAMPLE"},
            "UnrecognizedClientException",
            INVALID_CLIENT,
            id="session-token",
        ),
        pytest.param(
            {"service": "s3"},
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'ecr'.",
            id="service",
        ),
        pytest.param(
            {"region": "US-East"},
            "InvalidSignatureException",
            "Credential should be scoped to a valid region.",
            id="region",
        ),
    ],
)
def test_signature_by_another_is_refused(
    server: Server, options: dict[str, str], code: str, message: str
) -> None:
    headers = sign(server, OPERATION, **options)  # type: ignore[arg-type] # `at` is not among them

    answer = post(server, headers)

    assert error_of(answer) == (400, code, message)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        pytest.param(
            "X-Amz-Target",
            "AmazonEC2ContainerRegistry_V20150921.DeleteRepository",
            "InvalidSignatureException",
            id="target",
        ),
        pytest.param("Host", "elsewhere.example", "InvalidSignatureException", id="host"),
        pytest.param(
            "X-Amz-Date", "20240101T000000Z", "InvalidSignatureException", id="another-day"
        ),
        pytest.param("X-Amz-Date", "yesterday", "IncompleteSignatureException", id="no-date"),
    ],
)
def test_signature_does_not_cover_a_changed_header(
    server: Server, name: str, value: str, code: str
) -> None:
    headers = sign(server, OPERATION) | {name: value}

    answer = post(server, headers)

    assert error_of(answer)[:2] == (400, code)


def test_signature_does_not_cover_a_changed_body(server: Server) -> None:
    headers = sign(server, OPERATION, b'{"maxResults": 1}')

    answer = post(server, headers, b'{"maxResults": 2}')

    assert error_of(answer) == (400, "InvalidSignatureException", MISMATCH)


def test_signature_does_not_cover_a_changed_query(server: Server) -> None:
    url, headers = presign(server, OPERATION)

    answer = post(server, headers, url=url + "&more=1")

    assert error_of(answer) == (400, "InvalidSignatureException", MISMATCH)


@pytest.mark.parametrize("missing", ["host", "x-amz-target"])
def test_signature_must_cover_host_and_target(server: Server, missing: str) -> None:
    headers = sign(server, OPERATION)
    names = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    kept = ";".join(name for name in names.split(";") if name != missing)
    headers["Authorization"] = headers["Authorization"].replace(names, kept)

    answer = post(server, headers)

    assert error_of(answer) == (
        400,
        "InvalidSignatureException",
        f"These headers must be signed: {missing}.",
    )


@pytest.mark.parametrize(
    ("cut", "complaint"),
    [
        pytest.param("Credential=", "requires 'Credential' parameter.", id="credential"),
        pytest.param("Signature=", "requires 'Signature' parameter.", id="signature"),
        pytest.param("SignedHeaders=", "requires 'SignedHeaders' parameter.", id="names"),
        pytest.param("AWS4-", "Authorization=HMAC-SHA256", id="algorithm"),
        pytest.param("/aws4_request", "Authorization=AWS4-HMAC-SHA256", id="scope"),
    ],
)
def test_signature_that_is_not_whole_is_incomplete(
    server: Server, cut: str, complaint: str
) -> None:
    headers = sign(server, OPERATION)
    headers["Authorization"] = headers["Authorization"].replace(cut, "", 1)

    status, code, message = error_of(post(server, headers))

    assert (status, code) == (400, "IncompleteSignatureException")
    assert complaint in message
    assert headers["Authorization"].rpartition("=")[2] not in message


def test_signature_without_a_date_is_incomplete(server: Server) -> None:
    headers = sign(server, OPERATION)
    del headers["X-Amz-Date"]

    status, code, message = error_of(post(server, headers))

    assert (status, code) == (400, "IncompleteSignatureException")
    assert "'X-Amz-Date'" in message


def test_signature_is_missed(server: Server) -> None:
    answer = httpx.post(server.endpoint + "/", content=b"{}")

    assert error_of(answer) == (
        400,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


def test_presigned_url_lasts_as_long_as_it_says(server: Server) -> None:
    url, headers = presign(server, OPERATION, expires=3600, at=minutes_off(-50))

    answer = post(server, headers, url=url)

    assert answer.status_code == 200


def test_presigned_url_expires(server: Server) -> None:
    url, headers = presign(server, OPERATION, expires=600, at=minutes_off(-11))

    status, code, message = error_of(post(server, headers, url=url))

    assert (status, code) == (400, "InvalidSignatureException")
    assert message.startswith("Signature expired: ")
    assert message.endswith(" - 10 min.)")


def test_presigned_url_with_a_session_token_is_refused(server: Server) -> None:
    url, headers = presign(server, OPERATION, token="FwoGZXIvYXdzEXAMPLE")

    answer = post(server, headers, url=url)

    assert error_of(answer) == (400, "UnrecognizedClientException", INVALID_CLIENT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=none", id="algorithm"),
        pytest.param("%2Faws4_request", "", id="scope"),
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=soon", id="lifetime"),
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=-60", id="negative-lifetime"),
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=604801", id="long-lifetime"),
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=" + "9" * 5000, id="endless-lifetime"),
        pytest.param("X-Amz-Date=", "X-Date=", id="date"),
        pytest.param("X-Amz-SignedHeaders=", "X-SignedHeaders=", id="names"),
    ],
)
def test_presigned_url_that_is_not_whole_is_incomplete(server: Server, old: str, new: str) -> None:
    url, headers = presign(server, OPERATION)

    answer = post(server, headers, url=url.replace(old, new))

    assert error_of(answer)[:2] == (400, "IncompleteSignatureException")


@pytest.mark.parametrize(
    ("name", "old", "code"),
    [
        pytest.param("Authorization", "Credential=", "UnrecognizedClientException", id="key"),
        pytest.param("Authorization", "", "IncompleteSignatureException", id="algorithm"),
        pytest.param("X-Amz-Target", "", "InvalidSignatureException", id="target"),
        pytest.param("X-Amz-Date", "", "IncompleteSignatureException", id="date"),
        pytest.param("Content-Type", "", "InvalidSignatureException", id="signed-header"),
    ],
)
def test_signature_with_bytes_that_are_no_text_is_refused(
    server: Server, name: str, old: str, code: str
) -> None:
    headers = sign(server, OPERATION) | {"Content-Length": "0"}
    headers[name] = headers[name].replace(old, old + "\udcff", 1)

    with sent_head(server, headers) as connection:
        answer = answer_on(connection)

    assert answer == (400, code)


def test_presigned_url_with_escaped_bytes_that_are_no_text_is_refused(server: Server) -> None:
    url, headers = presign(server, OPERATION)

    answer = post(server, headers, url=url.replace("Credential=", "Credential=%FF"))

    assert error_of(answer) == (400, "UnrecognizedClientException", INVALID_CLIENT)


def test_development_mode_accepts_any_key(open_server: Server) -> None:
    headers = sign(open_server, OPERATION, key_id="anybody", secret="anything", token="any")

    answer = post(open_server, headers)

    assert answer.status_code == 200


def test_development_mode_takes_the_account_from_the_key(open_server: Server) -> None:
    body = b'{"repositoryName": "mine"}'
    headers = sign(open_server, "CreateRepository", body, key_id="123456789012", secret="x")

    answer = post(open_server, headers, body)

    assert answer.json()["repository"]["registryId"] == "123456789012"


def test_development_mode_still_wants_a_region(open_server: Server) -> None:
    headers = sign(open_server, OPERATION, region="?")

    answer = post(open_server, headers)

    assert error_of(answer)[1] == "InvalidSignatureException"


EXAMPLE = {
    "key_id": "AKIDEXAMPLE",
    "date": "20150830",
    "region": "us-east-1",
    "service": "service",
    "signed_headers": ("host", "x-amz-date"),
    "timestamp": "20150830T123600Z",
    "token": None,
}


@pytest.mark.parametrize(
    ("method", "query", "signature"),
    [
        pytest.param(
            "GET",
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla",
        ),
        pytest.param(
            "POST",
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            "GET",
            "Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
    ],
)
def test_signature_is_that_of_amazons_test_suite(method: str, query: str, signature: str) -> None:
    given_signature = Signature(**EXAMPLE, query=query, signature=signature)  # type: ignore[arg-type] # a table
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}

    genuine = is_genuine(
        given_signature,
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        method,
        headers,
        hashlib.sha256(b"").hexdigest(),
    )

    assert genuine


HEADER_VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(str.strip)


@given(
    body=st.binary(max_size=200),
    secret=st.text(min_size=1, max_size=40),
    token=st.none() | st.text("abc/+=", min_size=1),
    value=HEADER_VALUE,
)
def test_signature_made_here_is_genuine_here(
    body: bytes, secret: str, token: str | None, value: str
) -> None:
    signed = sign_headers(
        {"Host": "localhost:5100", "X-Amz-Target": value},
        hashlib.sha256(body).hexdigest(),
        key_id="AKIDEXAMPLE",
        secret=secret,
        token=token,
        region="us-east-1",
        service="ecr",
        timestamp="20150830T123600Z",
    )

    headers = httpx.Headers(signed)
    parsed = parse_signature(headers, "")

    assert parsed is not None
    assert parsed.token == token
    assert is_genuine(parsed, secret, "POST", headers, hashlib.sha256(body).hexdigest())
    assert not is_genuine(parsed, secret + "x", "POST", headers, hashlib.sha256(body).hexdigest())


def test_no_server_log_names_a_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running_server(tmp_path / "data") as running:
        post(running, sign(running, OPERATION, secret="wrong"))
        secret = running.secret

    assert secret not in capfd.readouterr().err
