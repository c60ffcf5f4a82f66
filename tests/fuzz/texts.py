"""What a client may send instead of what it should: texts and documents almost like good ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

HEX = "0123456789abcdef"
_ODD: Sequence[str] = [
    "", "/", "//", "..", ".", "-", "--", "_", "__", "___", ":", "::", ",", ";", "=", "&", "?", "#",
    " ", "\t", "\r\n", "\n", "\0", "\x7f", "%", "%%", "%2f", "%2F", "%2e%2e", "%00", "%0d%0a",
    "%ff", "%ed%a0%80", "%c0%af", "%u0041", "+", "*",
    "'", '"', "\\", "<", ">", "é", "\u0661", "\u212a",
    "\u2028", "\ufeff", "\ud800", "\udcff", "\U0001f600", "0", "9" * 20, "x" * 300, "A",
]  # fmt: skip


_ODD_BYTES: Sequence[bytes] = [
    b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"-0", b"null", b"[" * 2000, b'{"a":' * 2000,
    b"9" * 5000, b"\xef\xbb\xbf", b"\xff\xfe", b'"', b",", b"}", b'"a":1,"a":2,', b"\xed\xa0\x80",
]  # fmt: skip


def mixed(*tokens: str, most: int = 8) -> st.SearchStrategy[str]:
    """Give texts made of the tokens, of odd pieces and of any characters, in any order."""
    piece = st.sampled_from(tokens) | st.sampled_from(_ODD) | st.text(max_size=3)
    return st.lists(piece, max_size=most).map("".join)


def as_headers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give the texts as the server has those of headers, where bytes that are no text stay."""
    return values.map(
        lambda text: text.encode(errors="surrogatepass").decode(errors="surrogateescape")
    )


def spoiled(good: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give good texts, and such with a piece replaced by something odd."""

    def spoil(text: str, start: float, length: int, odd: str) -> str:
        first = round(start * len(text))
        return text[:first] + odd + text[first + length :]

    place = st.floats(0, 1)
    return good | st.builds(spoil, good, place, st.integers(0, 3), st.sampled_from(_ODD))


def spoiled_bytes(good: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Give good bytes, and such with a few replaced, and such cut off."""

    def spoil(data: bytes, start: float, length: int, odd: bytes) -> bytes:
        first = round(start * len(data))
        return data[:first] + odd + data[first + length :]

    pieces = st.binary(max_size=4) | st.sampled_from(_ODD_BYTES)
    place = st.floats(0, 1)
    once = st.builds(spoil, good, place, st.integers(0, 6), pieces)
    twice = st.builds(spoil, once, place, st.integers(0, 6), pieces)
    encoded = good.map(lambda data: data.decode(errors="replace").encode("utf-16"))
    return st.one_of(good, once, twice, encoded, st.binary(max_size=40))


components = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
names = st.lists(
    components | st.sampled_from(["blobs", "uploads", "manifests", "tags", "list", "referrers"]),
    min_size=1,
    max_size=5,
).map("/".join)
tags = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)
digests = st.one_of(
    st.text(HEX, min_size=64, max_size=64).map("sha256:".__add__),
    st.text(HEX, min_size=128, max_size=128).map("sha512:".__add__),
)
upload_ids = st.uuids(version=4).map(str)

anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([-1, 0, 2, 2**63 - 1, 2**63, 2**64, 10**30]),
        st.floats(),
        st.text(max_size=6),
        digests,
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_types = st.sampled_from(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.config.v1+json",
    ]
)
media_types = _types | mixed("application/json", "application/vnd.oci.image.index.v1+json", most=2)
_descriptors = st.fixed_dictionaries(
    {"mediaType": media_types, "digest": digests, "size": st.integers(0, 2**63 - 1)},
    optional={
        "urls": st.lists(st.text(max_size=5), max_size=2),
        "annotations": st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
        "data": st.text(max_size=8),
    },
)
_lists = st.lists(_descriptors, max_size=3)
_common: dict[str, st.SearchStrategy[Any]] = {
    "mediaType": _types,
    "artifactType": media_types,
    "subject": _descriptors,
    "annotations": st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=3),
}
_images = st.fixed_dictionaries(
    {"schemaVersion": st.just(2), "config": _descriptors, "layers": _lists}, optional=_common
)
_indexes = st.fixed_dictionaries(
    {"schemaVersion": st.just(2), "manifests": _lists}, optional=_common
)
_members = st.sampled_from([*_common, "schemaVersion", "config", "layers", "manifests", "Layers"])
_documents = st.one_of(
    _images,
    _indexes,
    st.builds(lambda one, key, value: {**one, key: value}, _images | _indexes, _members, anything),
    st.builds(lambda one, two: {**one, **two}, _images, _indexes),
)


def as_json(document: object) -> bytes:
    """Encode it as some clients do, surrogates and NaN included."""
    return json.dumps(document).encode()


manifests = spoiled_bytes(_documents.map(as_json))
