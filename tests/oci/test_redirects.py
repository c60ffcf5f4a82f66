"""No answer leads a client to where a request said."""

from __future__ import annotations

import re

import pytest

from tests.support.server import Server
from tests.support.wire import Wire

PATHS = [
    "//evil.example/v2/",
    "//evil.example/v2/aa/blobs/uploads/",
    "/\\evil.example/v2/aa/blobs/uploads/",
    "/v2//evil.example/blobs/uploads/",
    "/v2/%2f%2fevil.example/blobs/uploads/",
    "/v2/https:%2f%2fevil.example/blobs/uploads/",
    "/v2/redirects/..//evil.example/blobs/uploads/",
    "/v2/redirects/blobs/uploads/?from=https://evil.example/",
    "/v2/redirects/blobs/uploads/?_state=https://evil.example/",
    "/v2/redirects/tags/list?n=1&last=//evil.example",
    "/v2/redirects/tags/list?n=1&next=https://evil.example",
    "/v2/redirects/%0d%0aLocation:%20https:%2f%2fevil.example/blobs/uploads/",
    "https://evil.example/v2/redirects/blobs/uploads/",
    "/layers/%2f%2fevil.example",
    "/login?next=//evil.example",
    "/?next=https:evil.example",
]
HEADERS = {
    "Host": "registry.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "javascript",
    "X-Original-URL": "//evil.example/",
    "Forwarded": "host=evil.example",
    "Referer": "https://evil.example/",
}


@pytest.fixture(scope="module")
def tagged(server: Server) -> Server:
    server.ecr().create_repository(repositoryName="redirects")
    return server


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PATHS)
def test_answer_leads_nowhere_else(tagged: Server, method: str, path: str) -> None:
    with Wire(tagged) as wire:
        wire.head(method, path, {**HEADERS, "Content-Length": 0})
        answer = wire.answer()

    assert answer.status not in {301, 302, 303, 307, 308}
    for name in ("Location", "Link", "Refresh", "Content-Location"):
        told = answer.headers.get(name, "/v2/")
        assert re.match(r"<?/v2/[a-z0-9]", told) or told == "/v2/", f"{name}: {told}"
