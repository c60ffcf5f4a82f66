"""Names and identifiers: what is one, and what only looks like one."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.names import (
    REPOSITORY_NAME_PATTERN,
    Digest,
    RegistryRef,
    RepositoryRef,
    is_repository_name,
    is_tag,
)

REGISTRY = RegistryRef("123456789012", "eu-west-1")
SHA256 = "sha256:" + "0f" * 32
SHA512 = "sha512:" + "0f" * 64


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        pytest.param("000000000000", True, id="zeros"),
        pytest.param("123456789012", True, id="digits"),
        pytest.param("12345678901", False, id="short"),
        pytest.param("1234567890123", False, id="long"),
        pytest.param("12345678901a", False, id="letter"),
        pytest.param("123456789012\n", False, id="line-end"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}" * 12, False, id="other-digits"),
        pytest.param("", False, id="empty"),
    ],
)
def test_registry_id_has_twelve_digits(text: str, *, is_id: bool) -> None:
    assert RegistryRef.is_id(text) == is_id


@settings(max_examples=30)
@given(name=st.from_regex(REPOSITORY_NAME_PATTERN, fullmatch=True))
def test_repository_name_of_the_grammar_is_one(name: str) -> None:
    assert is_repository_name(name) == (2 <= len(name) <= 256)


@given(name=st.text("ab1._-/A", max_size=12))
def test_repository_name_is_of_the_grammar(name: str) -> None:
    parts = name.split("/")
    fits = all(re.fullmatch(r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*", part) for part in parts)

    assert is_repository_name(name) == (fits and len(name) >= 2)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a" * 256, id="longest"),
        pytest.param("/".join("a" * 100), id="deepest"),
        pytest.param("a-" * 127 + "b", id="dashes"),
    ],
)
def test_repository_name_may_be_long(name: str) -> None:
    assert RepositoryRef.parse(REGISTRY, name).name == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a" * 257, id="too-long"),
        pytest.param("_" * 200, id="separators"),
        pytest.param("a-" * 127, id="dash-last"),
        pytest.param("a/" * 100, id="slash-last"),
    ],
)
def test_repository_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        RepositoryRef.parse(REGISTRY, name)

    assert caught.value.member == "repositoryName"


def test_repository_has_an_arn() -> None:
    ref = RepositoryRef.parse(REGISTRY, "team/app")

    assert ref.arn == "arn:aws:ecr:eu-west-1:123456789012:repository/team/app"
    assert RepositoryRef.parse_arn(ref.arn) == ref


@pytest.mark.parametrize(
    "arn",
    [
        pytest.param("", id="empty"),
        pytest.param("arn:aws:ecr:eu-west-1:123456789012:repository/", id="no-name"),
        pytest.param("arn:aws:ecr:eu-west-1:123456789012:repository/Up", id="bad-name"),
        pytest.param("arn:aws:ecr:eu-west-1:12345678901:repository/ab", id="bad-account"),
        pytest.param("arn:aws:ecs:eu-west-1:123456789012:repository/ab", id="service"),
        pytest.param("arn:aws:ecr:eu-west-1:123456789012:ab", id="resource"),
        pytest.param("arn:aws:ecr:eu-west-1:123456789012:repository/ab\n", id="line-end"),
    ],
)
def test_arn_of_nothing_here_is_refused(arn: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid ARN"):
        RepositoryRef.parse_arn(arn)


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [pytest.param(SHA256, "sha256", id="sha256"), pytest.param(SHA512, "sha512", id="sha512")],
)
def test_digest_keeps_its_text(text: str, algorithm: str) -> None:
    digest = Digest.parse(text)

    assert (str(digest), digest.algorithm) == (text, algorithm)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("sha256", id="no-colon"),
        pytest.param("sha256:", id="nothing"),
        pytest.param(SHA256[:-1], id="short"),
        pytest.param(SHA256 + "0", id="long"),
        pytest.param(SHA256.upper(), id="capitals"),
        pytest.param(SHA256.replace("f", "F"), id="capital-digits"),
        pytest.param(SHA256.replace("f", "g"), id="no-digits"),
        pytest.param(SHA256 + "\n", id="line-end"),
        pytest.param(SHA512.replace("512", "256"), id="another-length"),
        pytest.param("md5:" + "0" * 32, id="another-algorithm"),
        pytest.param(SHA256.replace(":", "::"), id="colons"),
        pytest.param("../../../etc/passwd", id="path"),
    ],
)
def test_digest_that_cannot_be_checked_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Digest.parse(text, "layerDigest")

    assert caught.value.member == "layerDigest"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("latest", True, id="word"),
        pytest.param("1.2.3-rc_1", True, id="version"),
        pytest.param("_", True, id="underscore"),
        pytest.param("T" * 128, True, id="longest"),
        pytest.param("T" * 129, False, id="too-long"),
        pytest.param("", False, id="empty"),
        pytest.param(".hidden", False, id="dot-first"),
        pytest.param("-x", False, id="dash-first"),
        pytest.param("a/b", False, id="slash"),
        pytest.param("a:b", False, id="colon"),
        pytest.param("a\n", False, id="line-end"),
        pytest.param("caf\N{LATIN SMALL LETTER E WITH ACUTE}", False, id="accent"),
    ],
)
def test_tag_is_of_the_grammar(text: str, *, expected: bool) -> None:
    assert is_tag(text) == expected


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digest_fits_its_bytes_only(algorithm: str) -> None:
    digest = Digest(f"{algorithm}:{hashlib.new(algorithm, b'abc').hexdigest()}")

    assert digest.fits(b"abc")
    assert not digest.fits(b"abd")
