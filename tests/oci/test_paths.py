"""Paths under `/v2/`: names of all kinds, places that do not exist, methods that do not apply."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import pytest

from ecrate.domain import images as manifests
from ecrate.domain.errors import EcrateError
from ecrate.oci.errors import CODES
from ecrate.oci.front import HANDLERS
from ecrate.oci.routes import KINDS
from ecrate.operations import authorization, images, layers, repositories, seals, tokens, uploads
from ecrate.web import body, handoff
from tests.support.registry import files_of
from tests.support.server import Server
from tests.support.wire import Wire

DIGEST = "sha256:" + "0" * 64
UUID = "00000000-0000-4000-8000-000000000000"

BAD_NAMES = [
    pytest.param("..", id="parent-folder"),
    pytest.param("%2e%2e", id="parent-folder-encoded"),
    pytest.param("%2e%2e%2f%2e%2e%2fetc", id="traversal-encoded"),
    pytest.param("../../../../etc/passwd", id="traversal"),
    pytest.param("a/../b", id="traversal-inside"),
    pytest.param("a//b", id="double-slash"),
    pytest.param("/a", id="leading-slash"),
    pytest.param("a/", id="trailing-slash"),
    pytest.param("%2fa", id="leading-slash-encoded"),
    pytest.param("a%5cb", id="backslash"),
    pytest.param("a", id="too-short"),
    pytest.param("a" * 257, id="too-long"),
    pytest.param("a" * 15_000, id="far-too-long"),
    pytest.param("a/" * 127 + "abc", id="too-many-parts"),
    pytest.param("UPPER", id="capitals"),
    pytest.param("-a", id="leading-dash"),
    pytest.param("a-", id="trailing-dash"),
    pytest.param("a..b", id="two-dots"),
    pytest.param("a___b", id="three-underscores"),
    pytest.param("a%20b", id="space"),
    pytest.param("aa%0a", id="newline"),
    pytest.param("aa%0d%0aX:%20y", id="header-injection"),
    pytest.param("aa%00", id="nul"),
    pytest.param("%c3%a9%c3%a9", id="unicode"),
    pytest.param("%ef%bd%81%ef%bd%81", id="full-width"),
    pytest.param("%d9%a1%d9%a1", id="unicode-digits"),
    pytest.param("%ff%fe", id="not-utf8"),
    pytest.param("%ed%a0%80aa", id="half-a-surrogate"),
    pytest.param("%252e%252e", id="encoded-twice"),
    pytest.param("aa%", id="broken-escape"),
    pytest.param("'%20OR%201=1%20--", id="sql"),
    pytest.param("{0}", id="format"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/v2/{}/tags/list", id="tags"),
        pytest.param("GET", "/v2/{}/manifests/latest", id="get-manifest"),
        pytest.param("PUT", "/v2/{}/manifests/latest", id="put-manifest"),
        pytest.param("DELETE", "/v2/{}/manifests/latest", id="delete-manifest"),
        pytest.param("GET", f"/v2/{{}}/blobs/{DIGEST}", id="get-blob"),
        pytest.param("POST", "/v2/{}/blobs/uploads/", id="post-upload"),
        pytest.param("PATCH", f"/v2/{{}}/blobs/uploads/{UUID}", id="patch-upload"),
        pytest.param("PUT", f"/v2/{{}}/blobs/uploads/{UUID}?digest={DIGEST}", id="put-upload"),
    ],
)
def test_bad_name_is_refused(server: Server, method: str, path: str, name: str) -> None:
    before = files_of(server)
    with Wire(server) as wire:
        answer = wire.ask(method, path.format(name), {"Content-Length": 0})

        assert (answer.status, answer.code) == (404, "NAME_INVALID")
        assert wire.ask("GET", "/v2/").status == 200
    assert files_of(server) <= before


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/v2/\udcc3\udca9/tags/list", id="not-escaped"),
        pytest.param("/v2/aa/tags/list?last=\udcff", id="not-escaped-query"),
        pytest.param("/v2/" + "a" * 40_000 + "/tags/list", id="longer-than-a-line-may-be"),
        pytest.param("/v2/aa/tags/list?last=" + "a" * 40_000, id="long-query"),
        pytest.param("/v2/a b/tags/list", id="space"),
        pytest.param("/v2/a\x00b/tags/list", id="nul"),
    ],
)
def test_malformed_request_line_is_refused(server: Server, target: str) -> None:
    with Wire(server) as wire:
        answer = wire.ask("GET", target)

    assert answer.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-Long": "x" * 40_000}, id="long-header"),
        pytest.param({f"X-{number}": "x" for number in range(1000)}, id="many-headers"),
        pytest.param({"X-Nul": "a\x00b"}, id="nul"),
        pytest.param({"X Space": "a"}, id="space-in-a-name"),
    ],
)
def test_malformed_headers_are_refused(server: Server, headers: dict[str, str]) -> None:
    with Wire(server) as wire:
        answer = wire.ask("GET", "/v2/", headers)

    assert answer.status == 400


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v2/aa", id="no-operation"),
        pytest.param("/v2/aa/bb/cc", id="unknown-operation"),
        pytest.param("/v2//tags/list", id="no-name"),
        pytest.param("/v2//manifests/latest", id="no-name-manifest"),
        pytest.param("/v2/tags/list", id="tags-of-nothing"),
        pytest.param("/v2/manifests/latest", id="manifest-of-nothing"),
        pytest.param("/v2/aa/tags/", id="tags-without-list"),
        pytest.param("/v2/aa/tags/list/", id="trailing-slash"),
        pytest.param("/v2/_catalog/", id="catalog-and-slash"),
        pytest.param("/v2/uploads/" + UUID, id="upload-of-nothing"),
    ],
)
def test_path_that_leads_nowhere(server: Server, path: str) -> None:
    with Wire(server) as wire:
        answer = wire.ask("GET", path)

    assert (answer.status, answer.code) == (404, "NAME_INVALID")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/v2/", id="post-base"),
        pytest.param("DELETE", "/v2/", id="delete-base"),
        pytest.param("OPTIONS", "/v2/", id="options"),
        pytest.param("PUT", "/v2/_catalog", id="put-catalog"),
        pytest.param("POST", "/v2/aa/tags/list", id="post-tags"),
        pytest.param("POST", "/v2/aa/manifests/latest", id="post-manifest"),
        pytest.param("PATCH", "/v2/aa/manifests/latest", id="patch-manifest"),
        pytest.param("PUT", f"/v2/aa/blobs/{DIGEST}", id="put-blob"),
        pytest.param("POST", f"/v2/aa/blobs/{DIGEST}", id="post-blob"),
        pytest.param("GET", "/v2/aa/blobs/uploads/", id="get-uploads"),
        pytest.param("DELETE", "/v2/aa/blobs/uploads/", id="delete-uploads"),
        pytest.param("POST", f"/v2/aa/blobs/uploads/{UUID}", id="post-upload"),
        pytest.param("HEAD", f"/v2/aa/blobs/uploads/{UUID}", id="head-upload"),
    ],
)
def test_method_that_does_not_apply(server: Server, method: str, path: str) -> None:
    with Wire(server) as wire:
        answer = wire.ask(method, path, {"Content-Length": 0})

        assert answer.status == 405
        assert wire.ask("GET", "/v2/").status == 200


@pytest.mark.parametrize("path", ["/v2/re%70o/tags/list", "/v2/%72epo/%74ags/list"])
def test_escapes_mean_what_they_stand_for(server: Server, path: str) -> None:
    with Wire(server) as wire:
        plain, escaped = wire.ask("GET", "/v2/repo/tags/list"), wire.ask("GET", path)

    assert (plain.status, plain.code) == (404, "NAME_UNKNOWN")
    assert escaped.body == plain.body


def test_every_kind_of_path_has_a_handler() -> None:
    handled = {kind for kind, _ in HANDLERS}

    # What these two answer is no operation.
    assert handled == set(KINDS) - {"token", "nowhere"}


# Source: OCI distribution-spec 1.1, "Error Codes", and distribution's own for the last.
SPECIFIED = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "TAG_INVALID",
}
# Where the conditions come from that the registry door can meet.
SOURCES = (
    authorization,
    images,
    layers,
    uploads,
    repositories,
    seals,
    tokens,
    manifests,
    body,
    handoff,
)
# Those of them that end in no error here: in a success, a challenge, or at the other door only.
ELSEWHERE = {
    "ImageAlreadyExists",
    "ImageTagDoesNotMatchDigest",
    "LayerAlreadyExists",
    "RepositoryNotEmpty",
    "UnknownAccessKey",
    "ValidationFailed",
}


def conditions_of(*modules: ModuleType) -> set[str]:
    """Give the names of the errors that the modules make."""
    known = {one.__name__ for one in EcrateError.__subclasses__()}
    names = set()
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            made = node.func if isinstance(node, ast.Call) else getattr(node, "exc", None)
            names |= {made.id} if isinstance(made, ast.Name) else set()
    return names & known


def test_every_code_is_one_of_the_specification() -> None:
    used = {code for status, code in CODES.values() if status < 500}

    assert used <= SPECIFIED


def test_every_condition_has_a_code() -> None:
    met = conditions_of(*SOURCES)

    assert met - {one.__name__ for one in CODES} == ELSEWHERE
