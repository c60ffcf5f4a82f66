"""Which versions an advisory is about, in each ecosystem, and how severe it is."""

from __future__ import annotations

import json

import pytest

from ecrate.scanning.advisories import AdvisoryError, parse_advisory
from ecrate.scanning.inventory import Inventory, Package, Release
from ecrate.scanning.matching import Match, Matcher
from tests.support import osv
from tests.support.osv import FEED, OLD_RELEASES, evaluate, read_real

DEBIAN, UBUNTU = Release("debian", "12"), Release("ubuntu", "22.04")
ALPINE, ROCKY = Release("alpine", "3.19.1"), Release("rocky", "9.3")
REDHAT, SUSE = Release("rhel", "9.4"), Release("sles", "15.5")


def matcher(documents: list[bytes]) -> Matcher:
    index: dict[tuple[str, str], list[object]] = {}
    for document in documents:
        advisory, affected = parse_advisory(document)
        if not advisory.withdrawn:
            for one in affected:
                index.setdefault((one.ecosystem, one.name), []).append((advisory.id, one))
    return Matcher(lambda key: index.get(key, ()))  # type: ignore[arg-type,return-value] # as made


@pytest.fixture(scope="module")
def feed() -> Matcher:
    return matcher([path.read_bytes() for path in FEED.glob("*.json")])


def met(feed: Matcher, package: Package, release: Release = DEBIAN) -> set[str]:
    found = feed.match(Inventory(release, (package,)))
    return {one.advisory.removeprefix("ECRATE-2024-") for one in found}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("0.9", {"1", "5"}, id="before all"),
        pytest.param("1.0", {"1", "2", "5"}, id="introduced"),
        pytest.param("1.0.4.post1", {"1", "2", "5"}, id="post release"),
        pytest.param("1.0.5", {"1", "5"}, id="fixed"),
        pytest.param("1.1", {"1", "3", "5"}, id="listed"),
        pytest.param("1.2", {"1", "2"}, id="limit"),
        pytest.param("1.3", {"1", "2"}, id="last affected"),
        pytest.param("1.3.1", {"1"}, id="behind the last affected"),
        pytest.param("2.0rc1", {"1"}, id="release candidate"),
        pytest.param("2.0", set(), id="fixed for good"),
        pytest.param("not a version", set(), id="no version"),
    ],
)
def test_python_version_meets(feed: Matcher, version: str, expected: set[str]) -> None:
    assert met(feed, Package("pypi", "Sample.Lib", version)) == expected


@pytest.mark.parametrize(
    ("kind", "name", "release", "is_met", "is_not"),
    [
        pytest.param("npm", "sample-script", DEBIAN,
                     ["1.0.0-beta.2", "1.9.9", "1.10.0-0"], ["1.0.0-beta.1", "1.10.0"], id="npm"),
        pytest.param("golang", "example.com/sample", DEBIAN,
                     ["v1.2.3-0.20230101000000-abcdefabcdef", "v1.2.2+incompatible"],
                     ["v1.2.3", "v1.2.3+incompatible", "v1.10.0"], id="Go"),
        pytest.param("golang", "stdlib", DEBIAN,
                     ["1.19", "1.20.7", "1.21rc2", "1.21.0"], ["1.20.8", "1.21.1"], id="Go itself"),
        pytest.param("maven", "com.example:sample", DEBIAN,
                     ["1.0-alpha-1", "1.0-beta-3", "1.0-rc1"], ["1.0-rc2", "1.0"], id="Maven"),
        pytest.param("deb", "samplesource", DEBIAN,
                     ["2.0-1", "1:1.0-1", "1:1.0~rc1-5"], ["1:1.0-1+deb12u1", "2:0"], id="Debian"),
        pytest.param("deb", "samplesource", UBUNTU, ["1.0-1"], ["1.0-1ubuntu1"], id="Ubuntu"),
        pytest.param("apk", "samplesource", ALPINE,
                     ["1.2.4_rc1", "1.2.4", "1.2.4_git20230717-r4"],
                     ["1.2.4_git20230717-r5", "1.2.4_p1", "1.2.5", "1.10.0"], id="Alpine"),
        pytest.param("rpm", "sample-libs", ROCKY,
                     ["9.9-1.el9", "1:2.0-2.el9", "1:2.0~rc1-9"], ["1:2.0-3.el9", "1:2.0^1-1"],
                     id="Rocky"),
        pytest.param("rpm", "samplesource", REDHAT, ["2.0-2.el9"], ["2.0-3.el9"], id="Red Hat"),
        pytest.param("rpm", "samplesource", SUSE, ["2.0-150500.2"], ["2.0-150500.3"], id="SUSE"),
    ],
)  # fmt: skip
def test_version_is_judged_in_its_own_order(
    feed: Matcher, *, kind: str, name: str, release: Release, is_met: list[str], is_not: list[str]
) -> None:
    versions = [one for one in is_met + is_not if met(feed, Package(kind, name, one), release)]

    assert versions == is_met


def test_system_package_is_known_by_its_source(feed: Matcher) -> None:
    package = Package("deb", "libsample1", "9", source="samplesource", source_version="0.5")

    assert met(feed, package) == {"9"}
    assert met(feed, package, Release("debian", "11")) == set()


@pytest.mark.parametrize(
    ("package", "release", "expected"),
    [
        (Package("pypi", "sample-lib", "1.9"), DEBIAN, ("CRITICAL", "2.0")),
        (Package("pypi", "sample-lib", "1.3"), DEBIAN, ("CRITICAL", "2.0")),
        (Package("npm", "sample-script", "1.1.0"), DEBIAN, ("CRITICAL", "1.10.0")),
        (Package("golang", "example.com/sample", "v1.0.0"), DEBIAN, ("MEDIUM", "1.2.3")),
        (Package("golang", "stdlib", "1.21.0"), DEBIAN, ("LOW", "1.21.1")),
        (Package("maven", "com.example:sample", "1.0-beta-3"), DEBIAN, ("LOW", "1.0-rc2")),
        (Package("deb", "samplesource", "1"), DEBIAN, ("INFORMATIONAL", "1:1.0-1+deb12u1")),
        (Package("deb", "samplesource", "1"), UBUNTU, ("HIGH", "1.0-1ubuntu1")),
        (Package("rpm", "sample-libs", "1-1"), ROCKY, ("HIGH", "1:2.0-3.el9")),
        (Package("apk", "samplesource", "1"), ALPINE, ("UNDEFINED", "1.2.4_git20230717-r5")),
    ],
    ids=lambda one: f"{one.kind} {one.version}" if isinstance(one, Package) else None,
)
def test_match_has_severity_and_fix(
    feed: Matcher, package: Package, release: Release, expected: tuple[str, str]
) -> None:
    first = feed.match(Inventory(release, (package,)))[0]

    assert (first.severity, first.fixed) == expected


def test_matches_come_worst_first(feed: Matcher) -> None:
    packages = (Package("golang", "stdlib", "1.19"), Package("pypi", "sample-lib", "1.0"))

    found = feed.match(Inventory(DEBIAN, packages))

    assert [one.severity for one in found] == ["CRITICAL", "HIGH", "LOW", "UNDEFINED"]
    assert found == tuple(sorted(found, key=lambda one: one.rank))
    assert isinstance(found[0], Match)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(b"{", "no JSON", id="cut off"),
        pytest.param(b"[" * 100_000, "no JSON", id="nested"),
        pytest.param(b"[]", "no JSON object", id="list"),
        pytest.param(b"{}", "'id' must be", id="nameless"),
        pytest.param(b'{"id": "A\\u0000"}', "'id' must be", id="NUL"),
        pytest.param(b'{"id": "A"}', "'modified' must be", id="timeless"),
        pytest.param(b'{"id": "A", "modified": "soon"}', "'modified' must be", id="no time"),
    ],
)
def test_document_that_is_no_advisory_is_told(content: bytes, text: str) -> None:
    with pytest.raises(AdvisoryError, match=text):
        parse_advisory(content)


@pytest.mark.parametrize(
    "affected",
    [1, [1], [{"package": 1}], [{"package": {"ecosystem": "PyPI", "name": 5}}],
     [{"package": {"ecosystem": "Hex", "name": "a"}}],
     [{"package": {"ecosystem": "PyPI", "name": "a\u0000"}}]],
    ids=str,
)  # fmt: skip
def test_what_is_affected_is_left_out_where_it_cannot_be_judged(affected: object) -> None:
    document = {"id": "A", "modified": "2024-01-01T00:00:00.123456789Z", "affected": affected}

    assert parse_advisory(json.dumps(document).encode())[1] == ()


@pytest.mark.skipif(not osv.REAL.exists(), reason="the real advisories are not beside the checkout")
def test_real_advisories_are_met_exactly() -> None:
    documents = read_real()
    real = matcher([json.dumps(one).encode() for one in documents])

    found = {name: met_ids(real, name, version) for name, version in OLD_RELEASES.items()}

    expected = {name: evaluate(documents, name, OLD_RELEASES[name]) for name in OLD_RELEASES}
    assert found == expected
    assert sum(map(len, expected.values())) > 400


def met_ids(real: Matcher, name: str, version: str) -> set[str]:
    found = real.match(Inventory(packages=(Package("pypi", name, version),)))
    return {one.advisory for one in found}
