"""The settings that choose upstreams."""

from __future__ import annotations

import pytest

from ecrate.domain.pull_through import UpstreamUrl
from ecrate.upstream.choice import parse_hosts, parse_realms


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("a.example", "a.example"),
        ("a.example", "https://A.example"),
        ("a.example", "a.example:5000"),
        ("a.example:5000", "a.example:5000"),
        ("b.example, a.example", "a.example"),
        ("*.example", "b.a.example"),
        ("*", "a.example:5000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("http://*", "http://a.example"),
    ],
)
def test_url_is_allowed(allowed: str, url: str) -> None:
    assert parse_hosts(allowed)(UpstreamUrl.parse(url))


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("", "a.example"),
        ("a.example", "a.example.evil.example"),
        ("a.example", "b.a.example"),
        ("a.example:5000", "a.example:5001"),
        ("a.example:5000", "a.example"),
        ("a.example", "http://a.example"),
        ("*", "http://a.example"),
        ("*.example", "example"),
        ("a.example", "axexample"),
    ],
)
def test_url_is_not_allowed(allowed: str, url: str) -> None:
    assert not parse_hosts(allowed)(UpstreamUrl.parse(url))


def test_realms_are_of_their_registry() -> None:
    assert parse_realms("a.example=b.example, A.example=c.example, d.example:1=e.example") == {
        "a.example": {"b.example", "c.example"},
        "d.example:1": {"e.example"},
    }
