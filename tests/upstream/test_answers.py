"""What is read of answers that are not what was asked for."""

from __future__ import annotations

from email.message import Message

import pytest

from ecrate.upstream.answers import read_error, read_pause
from ecrate.upstream.tokens import Token, make_request, read_answer

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("5", 5),
        ("0", 1),
        ("99999999999999999999", 86400),
        ("Tue, 14 Nov 2023 22:15:00 GMT", 100),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 1),
        ("Tue, 14 Nov 2093 22:00:00 GMT", 86400),
        ("", 60),
        ("soon", 60),
        ("-5", 60),
    ],
)
def test_pause_is_seconds_or_a_date(told: str, seconds: int) -> None:
    headers = Message()
    if told:
        headers["Retry-After"] = told

    assert read_pause(headers, lambda: NOW) == seconds


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"errors": [{"code": "DENIED", "message": "no"}]}', ("DENIED", "no")),
        (b'{"errors": [{"code": "DENIED"}]}', ("DENIED", "")),
        (b'{"errors": [{"code": "a\\nb", "message": "\\u001b[2J"}]}', ("a b", " [2J")),
        (b'{"errors": []}', ("", "")),
        (b"[]", ("", "")),
        (b"<html>", ("", "")),
        (b"[" * 100_000, ("", "")),
    ],
)
def test_error_is_one_line(content: bytes, error: tuple[str, str]) -> None:
    assert read_error(content) == error


@pytest.mark.parametrize(
    ("content", "token"),
    [
        (b'{"token": "a", "expires_in": 300}', Token("a", 300.0)),
        (b'{"access_token": "a"}', Token("a", 60.0)),
        (b'{"token": "a", "expires_in": -1}', Token("a", 60.0)),
        (b'{"token": "a", "expires_in": true}', Token("a", 60.0)),
        (b'{"token": "a\\r\\nX-Other: b"}', None),
        (b'{"token": 5}', None),
        (b"{}", None),
        (b"5", None),
        (b"<html>", None),
    ],
)
def test_token_is_one_line(content: bytes, token: Token | None) -> None:
    assert read_answer(content) == token


def test_token_is_asked_for_with_all_scopes() -> None:
    challenge = {"realm": "x", "service": "here", "scope": "repository:b:pull"}

    request = make_request("/token?a=1", challenge, ["repository:a:pull"], None)

    assert request.method == "GET"
    assert request.target == (
        "/token?a=1&service=here&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull"
    )
    assert request.headers == {}
