"""The parsers that meet a client's bytes first, each with what must hold whatever it is given.

A target's `check` raises for anything but the errors its parser declares, and for an answer that
a second, slower way to the same finds wrong.
"""

from __future__ import annotations

import functools
import hashlib
import re
import string
from base64 import b64encode
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from hypothesis import strategies as st

from ecrate.aws.call import parse_image_id
from ecrate.domain.errors import ExpiredToken, InvalidParameter, InvalidToken
from ecrate.domain.images import INDEX_TYPES, MANIFEST_TYPES, MAX_MANIFEST_SIZE, parse_manifest
from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef, is_tag
from ecrate.domain.repositories import TagMutability
from ecrate.oci.credentials import NotAuthorizedError, decode_basic
from ecrate.oci.errors import RegistryError, render
from ecrate.oci.layers import parse_content_range
from ecrate.oci.routes import KINDS, Query, page_size, parse_path
from ecrate.operations.seals import Seals
from ecrate.web.files import matches, parse_range
from ecrate.web.hosts import registry_of
from tests.fuzz import texts
from tests.fuzz.aws import AWS_TARGETS
from tests.fuzz.documents import DOCUMENT_TARGETS
from tests.fuzz.target import Target, attempt
from tests.fuzz.texts import as_headers, mixed, spoiled

REGISTRY = RegistryRef("000000000000", "us-east-1")
ETAG = '"sha256:abc"'
SEALS = Seals(b"\x07" * 32)
SEALED = SEALS.seal("page", {"for": "somebody", "at": [7, "tag"]})
EXPIRED = SEALS.seal("page", {"exp": 5.0})
_PATHS = {
    "base": ["/v2/"],
    "catalog": ["/v2/_catalog"],
    "token": ["/v2/token"],
    "tags": ["/v2/{name}/tags/list"],
    "manifest": ["/v2/{name}/manifests/{reference}"],
    "blob": ["/v2/{name}/blobs/{reference}"],
    "referrers": ["/v2/{name}/referrers/{reference}"],
    "uploads": ["/v2/{name}/blobs/uploads", "/v2/{name}/blobs/uploads/"],
    "upload": ["/v2/{name}/blobs/uploads/{reference}"],
}


def check_path(path: str) -> None:
    """Whatever a path is read as must be written as this very path."""
    route = parse_path(path)
    assert route.kind in KINDS
    decoded = unquote(path) if "%" in path else path
    written = [
        template.format(name=route.name, reference=route.reference)
        for template in _PATHS.get(route.kind, [])
    ]
    assert route.kind == "nowhere" or decoded in written or f"/v2/{decoded}" in written


def check_good_path(given: tuple[str, str, str, bool]) -> None:
    """A path made of a good name and reference is read as both, encoded or not."""
    kind, name, reference, is_encoded = given
    encode = functools.partial(quote, safe="") if is_encoded else str
    for template in _PATHS[kind]:
        route = parse_path(template.format(name=encode(name), reference=encode(reference)))
        assert (route.kind, route.name) == (kind, name)
        assert route.reference in {"", reference}
        assert ("{reference}" in template) == bool(route.reference)


good_paths = st.one_of(
    st.tuples(st.just("manifest"), texts.names, texts.tags | texts.digests, st.booleans()),
    st.tuples(st.sampled_from(["blob", "referrers"]), texts.names, texts.digests, st.booleans()),
    st.tuples(st.just("upload"), texts.names, texts.upload_ids, st.booleans()),
    st.tuples(st.sampled_from(["tags", "uploads"]), texts.names, st.just("x"), st.booleans()),
)
_words = mixed("/v2/", "manifests", "blobs/uploads", "tags/list", "_catalog", "token")
paths = spoiled(
    st.builds(
        "/v2/{}/{}/{}".format,
        texts.names | mixed("a", "b/c"),
        st.sampled_from(["manifests", "blobs", "blobs/uploads", "tags", "referrers", "_catalog"]),
        st.one_of(texts.tags, texts.digests, texts.upload_ids, st.sampled_from(["list", ""])),
    )
) | _words.map("/v2/".__add__)


def check_query(text: str) -> None:
    query = Query(text)
    for name in ("n", "last", "tag", "digest"):
        values = query.all(name)
        assert all(isinstance(value, str) for value in values)
        assert query.get(name) == (values[-1] if values else None)
    given = query.get("n")
    for parity in (False, True):
        count = attempt((RegistryError,), page_size, query, parity=parity)
        if isinstance(count, RegistryError):
            assert count.status in {400, 405}
            assert render(count).status == count.status
        else:
            assert count == (100 if given is None else min(_to_int(given), 1000))


def _to_int(digits: str) -> int:
    """Read a number digit by digit, however long it is."""
    return functools.reduce(lambda so_far, one: min(so_far * 10 + ord(one) - 48, 10**9), digits, 0)


def check_range(given: tuple[str, str | None, int]) -> None:
    header, if_range, size = given
    span = parse_range(header, if_range, size, ETAG)
    if span is None:
        assert if_range in {None, ETAG}
        return
    start, stop = span
    assert 0 <= start <= stop <= size
    assert (start, stop) == (0, size) or start < stop
    simple = re.fullmatch(r"bytes=(\d{1,6})-(\d{1,6})", header, re.ASCII)
    if simple and if_range is None and int(simple[1]) <= int(simple[2]):
        assert span == (int(simple[1]), min(int(simple[2]) + 1, size))


def check_if_none_match(header: str) -> None:
    assert matches(header, ETAG) or ETAG not in re.split(r"\s*,\s*", header)


def check_manifest(given: tuple[bytes, str | None, str]) -> None:
    """What is accepted is one document to every reader, and fits into the rows it becomes."""
    content, media_type, algorithm = given
    manifest = attempt(
        (InvalidParameter,), parse_manifest, content, media_type, algorithm=algorithm
    )
    if isinstance(manifest, InvalidParameter):
        assert manifest.member == "ImageManifest"
        assert render(manifest).status == 400
        return
    assert len(content) <= MAX_MANIFEST_SIZE
    assert manifest.content == content
    assert manifest.digest.text == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert manifest.media_type in MANIFEST_TYPES
    assert media_type in {None, "", manifest.media_type}
    assert not (manifest.layers and manifest.children)
    assert (manifest.media_type in INDEX_TYPES) == (not manifest.layers)
    assert 0 <= manifest.size < 2**63
    for text in (manifest.artifact_media_type or "", *manifest.annotations.items()):
        "".join(text).encode()
    _compare_with_another_reader(content, manifest.layers + manifest.children)


def _compare_with_another_reader(content: bytes, found: tuple[Any, ...]) -> None:
    document = attempt((msgspec.DecodeError,), msgspec.json.decode, content)
    if isinstance(document, msgspec.DecodeError):
        assert "out of range" in str(document)  # a number that no member known here may have
        return
    entries = [document.get("config"), *document.get("layers", []), *document.get("manifests", [])]
    assert [entry["digest"] for entry in entries if entry] == [one.digest.text for one in found]


def check_name(text: str) -> None:
    try:
        ref = RepositoryRef.parse(REGISTRY, text)
    except InvalidParameter as error:
        assert not _is_name(text)
        render(error)
    else:
        assert _is_name(text)
        assert ref.name == text
        assert ref.arn.isascii()


def _is_name(text: str) -> bool:
    alphabet = set(string.ascii_lowercase + string.digits)
    pieces = [piece for part in text.split("/") for piece in re.split(r"__|_|\.|-+", part)]
    return 2 <= len(text) <= 256 and all(piece and set(piece) <= alphabet for piece in pieces)


def check_reference(text: str) -> None:
    alphabet = set(string.ascii_letters + string.digits + "._-")
    fits = 0 < len(text) <= 128 and set(text) <= alphabet and text[0] not in ".-"
    assert is_tag(text) == fits
    kind, _, encoded = text.partition(":")
    is_hex = set(encoded) <= set(texts.HEX)
    try:
        digest = Digest.parse(text)
    except InvalidParameter:
        assert not (is_hex and (kind, len(encoded)) in {("sha256", 64), ("sha512", 128)})
    else:
        assert is_hex
        assert (digest.text, digest.algorithm) == (text, kind)


def check_image_id(given: dict[str, str]) -> None:
    found = parse_image_id(given)
    if isinstance(found, ImageId):
        assert found.tag == given.get("imageTag")
        assert found.digest is None or found.digest.text == given["imageDigest"]


def check_wildcard(given: tuple[str, str]) -> None:
    pattern, tag = given
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    fits = re.fullmatch(expression, tag, re.DOTALL) is not None
    assert TagMutability("MUTABLE_WITH_EXCLUSION", (pattern,)).is_immutable(tag) == fits


def _in_base64(text: str) -> str:
    return b64encode(text.encode(errors="replace")).decode()


def check_basic(encoded: str) -> None:
    try:
        user, password = decode_basic(encoded)
    except NotAuthorizedError:
        return
    assert ":" not in user
    again = b64encode(f"{user}:{password}".encode()).decode()
    assert decode_basic(again) == (user, password)


def check_seal(text: str) -> None:
    try:
        payload = SEALS.open("page", text, 10.0)
    except ExpiredToken:
        assert text == EXPIRED
    except InvalidToken:
        assert text not in {SEALED, EXPIRED}
    else:
        assert (text, payload) == (SEALED, {"for": "somebody", "at": [7, "tag"]})


def check_content_range(header: str) -> None:
    found = attempt((RegistryError,), parse_content_range, header)
    simple = re.fullmatch(r"[0-9]{1,18}-[0-9]{1,18}", header)
    if isinstance(found, RegistryError):
        assert found.status == 400
        assert simple is None
    else:
        assert all(0 <= one < 10**18 for one in found)
        assert simple is None or found == tuple(map(int, header.split("-")))


def check_host(host: str) -> None:
    registry = registry_of(host)
    if registry is not None:
        assert RegistryRef.is_id(registry.id)
        assert registry.region.isascii()
        assert host.lower().startswith(f"{registry.id}.dkr.ecr.{registry.region}.")


TARGETS: list[Target[Any]] = [
    Target("path", paths, check_path),
    Target("good-path", good_paths, check_good_path),
    Target("query", mixed("n=", "last=", "&", "tag=a", "digest=sha256:", "5"), check_query),
    Target(
        "range",
        st.tuples(
            spoiled(st.builds("bytes={}-{}".format, st.integers(0, 300), st.integers(0, 300)))
            | mixed("bytes=", "-", "5", "9" * 18, "9" * 19),
            st.none() | st.sampled_from([ETAG, "", '"other"']),
            st.sampled_from([0, 1, 2, 100, 2**40]),
        ),
        check_range,
    ),
    Target("if-none-match", as_headers(mixed(ETAG, "W/", ", ", "*")), check_if_none_match),
    Target(
        "manifest",
        st.tuples(
            texts.manifests, st.none() | texts.media_types, st.sampled_from(["sha256", "sha512"])
        ),
        check_manifest,
    ),
    Target("name", spoiled(texts.names) | mixed("a", "b0", "/", "x" * 255), check_name),
    Target("reference", spoiled(texts.tags | texts.digests) | mixed("sha256:"), check_reference),
    Target(
        "image-id",
        st.fixed_dictionaries(
            {},
            optional={"imageTag": spoiled(texts.tags), "imageDigest": spoiled(texts.digests)},
        ),
        check_image_id,
    ),
    Target("wildcard", st.tuples(st.text("ab*\n", max_size=9), st.text("ab\n")), check_wildcard),
    Target(
        "basic",
        spoiled(st.binary(max_size=40).map(lambda data: b64encode(data).decode()))
        | spoiled(mixed("AWS:", "user:").map(_in_base64)),
        check_basic,
    ),
    Target("seal", spoiled(st.sampled_from([SEALED, EXPIRED])) | mixed(SEALED, "."), check_seal),
    Target("content-range", mixed("bytes ", "0", "-", "99", "/*", "9" * 18), check_content_range),
    Target(
        "host",
        spoiled(st.just("012345678901.dkr.ecr.us-east-1.localhost:5100")) | mixed("1" * 12, ".dkr"),
        check_host,
    ),
    *AWS_TARGETS,
    *DOCUMENT_TARGETS,
]
