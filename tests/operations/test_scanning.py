"""Scans in the background: when, of what, under which advisories, and what stays of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ecrate.domain.errors import ImportRefused, LimitExceeded, ScanNotFound
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.scanning import ScanningRule
from ecrate.operations import advisories, deletions, referrers, scans
from ecrate.operations.core import Limits
from ecrate.operations.scanning import Scanner
from ecrate.store import events as event_store
from tests.support.core import DAY, REGISTRY, Bench
from tests.support.images import MadeImage, make_image
from tests.support.scanning import (
    DEBIAN,
    SETTINGS,
    advisory,
    image_of_layers,
    image_with,
    import_feed,
    layer,
    python,
    scan_all,
)

ONE = python("one", "1.0")
V1 = ImageId(tag="v1")
EVERYTHING = [ScanningRule("CONTINUOUS_SCAN", ("*",))]


@pytest.fixture
def bench(tmp_path: Path, database_url: str) -> Iterator[Bench]:
    with closing(Bench(tmp_path, database_url)) as made:
        yield made


@pytest.fixture
def ref(bench: Bench) -> RepositoryRef:
    """A repository whose images are scanned on push."""
    return bench.create(scan_on_push=True)


def describe(
    bench: Bench, ref: RepositoryRef, image_id: ImageId = V1, *, limit: int = 100
) -> scans.ScanPage:
    return scans.describe_image_scan_findings(
        bench.core, bench.caller, ref, image_id, after=None, limit=limit
    )


def found(bench: Bench, ref: RepositoryRef, image_id: ImageId = V1) -> list[str]:
    return [one.advisory for one in describe(bench, ref, image_id).matches]


def status(bench: Bench, ref: RepositoryRef, image_id: ImageId = V1) -> str:
    return describe(bench, ref, image_id).scan.status


def set_up(bench: Bench, scan_type: str, rules: list[ScanningRule] | None = None) -> None:
    scans.put_registry_scanning_configuration(
        bench.core, bench.caller, REGISTRY, scan_type, rules or []
    )


def events_of(bench: Bench) -> list[dict[str, object]]:
    with bench.writing() as tx:
        event_store.publish(tx, 100)
        published = event_store.list_events(tx, 0, 100)
    return [dict(one.detail) for one in published if one.kind == "ECR Image Scan"]


def test_push_is_scanned(bench: Bench, ref: RepositoryRef) -> None:
    import_feed(bench.core)
    bench.push(ref, image_with(ONE, python("safe", "1.0")), "v1")
    before = status(bench, ref)

    scan_all(bench.core)

    page = describe(bench, ref)
    assert (before, page.scan.status) == ("WAITING", "COMPLETE")
    assert [one.advisory for one in page.matches] == ["TEST-1"]
    assert page.scan.counts == {"UNDEFINED": 1}
    assert page.scan.feed_updated_at == bench.clock.now


def test_push_elsewhere_is_not_scanned(bench: Bench) -> None:
    other = bench.create("other")
    bench.push(other, image_with(ONE), "v1")

    scan_all(bench.core)

    with pytest.raises(ScanNotFound):
        describe(bench, other)


def test_index_and_artifacts_are_not_scanned(bench: Bench, ref: RepositoryRef) -> None:
    artifact = make_image(10)
    bench.push(ref, artifact)
    document = {**artifact.document, "artifactType": "application/example"}
    digest = bench.put(ref, json.dumps(document))

    with pytest.raises(ScanNotFound):
        describe(bench, ref, ImageId(digest))


@pytest.mark.parametrize(
    ("image", "expected", "text"),
    [
        pytest.param(make_image(100), "FAILED", "it is no tar archive", id="no archive"),
        pytest.param(image_of_layers(layer({"a": b""})), "UNSUPPORTED", "UnsupportedImageError",
                     id="scratch"),
        pytest.param(image_with({"a": bytes(2 << 20)}), "TOO_LARGE", "too many bytes", id="large"),
    ],
)  # fmt: skip
def test_scan_that_fails_says_why(
    bench: Bench, ref: RepositoryRef, *, image: MadeImage, expected: str, text: str
) -> None:
    bench.push(ref, image, "v1")

    scan_all(bench.core, replace(SETTINGS, size=1 << 20))

    page = describe(bench, ref)
    assert page.scan.status == expected
    assert text in page.scan.description
    assert page.matches == ()


def test_layer_that_is_lost_fails_the_scan(bench: Bench, ref: RepositoryRef) -> None:
    image = image_with(ONE)
    bench.push(ref, image, "v1")
    with bench.writing() as tx:
        tx.run("UPDATE blobs SET lost_at = 1 WHERE digest = ?", image.layers[0].digest)

    scan_all(bench.core)

    assert status(bench, ref) == "FAILED"


def test_image_that_went_is_not_scanned(bench: Bench, ref: RepositoryRef) -> None:
    bench.push(ref, image_with(ONE), "v1")
    deletions.batch_delete_image(bench.core, bench.caller, ref, [V1])

    scan_all(bench.core)

    with bench.reading() as tx:
        assert tx.all("SELECT * FROM scans") == []


def test_scan_that_is_broken_off_is_done_again(bench: Bench, ref: RepositoryRef) -> None:
    import_feed(bench.core)
    bench.push(ref, image_with(ONE), "v1")

    went_on = Scanner(SETTINGS).run(bench.core, lambda: False)

    assert (went_on, status(bench, ref)) == (False, "WAITING")
    scan_all(bench.core)
    assert found(bench, ref) == ["TEST-1"]


def test_image_is_scanned_again_once_it_may_be(bench: Bench, ref: RepositoryRef) -> None:
    core = replace(bench.core, limits=Limits(scan_pause=DAY))
    bench.push(ref, image_with(ONE), "v1")
    scan_all(core)
    import_feed(core)
    with pytest.raises(LimitExceeded):
        scans.start_image_scan(core, bench.caller, ref, V1)
    assert found(bench, ref) == []

    bench.clock.advance(DAY)
    scans.start_image_scan(core, bench.caller, ref, V1)

    scan_all(core)
    assert found(bench, ref) == ["TEST-1"]


def test_scan_is_told_as_an_event(bench: Bench, ref: RepositoryRef) -> None:
    import_feed(bench.core)
    digest = bench.push(ref, image_with(ONE), "v1", "v2")

    scan_all(bench.core)

    assert events_of(bench) == [
        {
            "scan-status": "COMPLETE",
            "repository-name": "one",
            "finding-severity-counts": {"UNDEFINED": 1},
            "image-digest": digest.text,
            "image-tags": ["v1", "v2"],
        }
    ]


def test_bills_of_materials_are_referrers(bench: Bench, ref: RepositoryRef) -> None:
    digest = bench.push(ref, image_with(ONE), "v1")

    for _ in range(2):
        scan_all(bench.core)
        scans.start_image_scan(bench.core, bench.caller, ref, V1)

    listed, _ = referrers.list_image_referrers(bench.core, bench.caller, ref, digest.text)
    types = [one.artifact_type for one in listed]
    assert types == ["application/vnd.cyclonedx+json", "application/spdx+json"]
    with bench.reading() as tx:
        row = tx.one("SELECT content FROM manifests WHERE image_id = ?", listed[0].id)
    assert row is not None
    document = json.loads(row[0])
    assert document["subject"]["digest"] == digest.text
    sbom = json.loads(bench.read(ref, document["layers"][0]["digest"]))
    assert "pkg:pypi/one@1.0" in [one.get("purl") for one in sbom["components"]]


def test_bills_of_materials_may_be_off(bench: Bench, ref: RepositoryRef) -> None:
    bench.push(ref, image_with(ONE), "v1")

    scan_all(bench.core, replace(SETTINGS, sboms=False))

    assert (status(bench, ref), len(bench.images(ref))) == ("COMPLETE", 1)


def test_full_repository_is_scanned_all_the_same(bench: Bench, ref: RepositoryRef) -> None:
    core = replace(bench.core, limits=Limits(images_per_repository=1))
    bench.push(ref, image_with(ONE), "v1")

    scan_all(core)

    assert (status(bench, ref), len(bench.images(ref))) == ("COMPLETE", 1)


def test_new_advisories_count_for_continuous_scans_only(bench: Bench, ref: RepositoryRef) -> None:
    bench.push(ref, image_with(ONE), "v1")
    scan_all(bench.core)
    import_feed(bench.core)
    scan_all(bench.core)
    once = found(bench, ref)
    set_up(bench, "ENHANCED")

    scan_all(bench.core)

    assert (once, found(bench, ref)) == ([], ["TEST-1"])


def test_new_advisories_need_no_layers(bench: Bench, ref: RepositoryRef) -> None:
    set_up(bench, "ENHANCED", EVERYTHING)
    import_feed(bench.core)
    image = image_with(ONE, python("three", "1.0"))
    bench.push(ref, image, "v1")
    scan_all(bench.core)
    first = describe(bench, ref).matches[0].since
    for key in bench.files():
        bench.blobs.delete(key)
    bench.clock.advance(DAY)

    import_feed(bench.core, advisory("TEST-3", "three", ("introduced", "0")))
    scan_all(bench.core)

    page = describe(bench, ref)
    assert [(one.advisory, one.since) for one in page.matches] == [
        ("TEST-1", first),
        ("TEST-3", bench.clock.now),
    ]
    assert page.scan.feed_updated_at == bench.clock.now
    assert len(events_of(bench)) == 2


def test_advisory_that_is_withdrawn_is_met_no_longer(bench: Bench, ref: RepositoryRef) -> None:
    set_up(bench, "ENHANCED")
    import_feed(bench.core)
    bench.push(ref, image_with(ONE), "v1")
    scan_all(bench.core)
    later = {"modified": "2024-06-01T00:00:00Z", "withdrawn": "2024-06-01T00:00:00Z"}

    import_feed(bench.core, advisory("TEST-1", "one", ("introduced", "0"), **later))
    scan_all(bench.core)

    assert found(bench, ref) == []


def test_configuration_takes_up_what_was_pushed_before(bench: Bench) -> None:
    import_feed(bench.core)
    mine, other = bench.create("prod/one"), bench.create("other")
    for ref in (mine, other):
        bench.push(ref, image_with(ONE), "v1")
    set_up(bench, "ENHANCED", [ScanningRule("CONTINUOUS_SCAN", ("prod",))])

    scan_all(bench.core)

    assert found(bench, mine) == ["TEST-1"]
    with pytest.raises(ScanNotFound):
        describe(bench, other)


def test_import_again_changes_nothing(bench: Bench) -> None:
    first = import_feed(bench.core)
    bench.clock.advance(1)

    again = import_feed(bench.core)

    assert (first.new, first.number) == (2, 1)
    assert (again.new, again.number) == (0, 1)
    assert advisories.describe_advisories(bench.core).updated_at == bench.clock.now


def test_import_takes_what_is_newer(bench: Bench, ref: RepositoryRef) -> None:
    import_feed(bench.core)
    older = advisory("TEST-1", "two", ("introduced", "0"), modified="2023-01-01T00:00:00Z")
    newer = advisory("TEST-2", "one", ("introduced", "0"), modified="2025-01-01T00:00:00Z")
    bench.push(ref, image_with(python("one", "3.0"), python("two", "3.0")), "v1")

    imported = import_feed(bench.core, older, newer)

    scan_all(bench.core)
    assert imported.new == 1
    assert found(bench, ref) == ["TEST-2"]
    with bench.reading() as tx:
        assert tx.one("SELECT count(*) FROM advisories") == (2,)


def test_import_may_replace_all_others(bench: Bench, ref: RepositoryRef) -> None:
    import_feed(bench.core)

    imported = import_feed(
        bench.core, advisory("TEST-9", "one", ("introduced", "0")), replaces=True
    )

    bench.push(ref, image_with(ONE, python("two", "1.0")), "v1")
    scan_all(bench.core)
    assert (imported.new, imported.removed) == (1, 2)
    assert found(bench, ref) == ["TEST-9"]


class BrokenOffError(Exception):
    pass


def documents(*given: dict[str, object], breaks: bool) -> Iterator[tuple[str, bytes]]:
    for number in range(600):
        one = advisory(f"X-{number}", "one", ("introduced", "0"))
        yield "x", json.dumps(one).encode()
    if breaks:
        raise BrokenOffError
    for last in given:
        yield "x", json.dumps(last).encode()


def test_import_that_is_broken_off_counts_only_when_it_is_whole(
    bench: Bench, ref: RepositoryRef
) -> None:
    import_feed(bench.core)
    bench.push(ref, image_with(ONE), "v1")
    with pytest.raises(BrokenOffError):
        advisories.import_advisories(bench.core, "a source", documents(breaks=True))
    scan_all(bench.core)
    between = found(bench, ref)
    with bench.reading() as tx:
        kept = tx.one("SELECT count(*) FROM advisories WHERE since = 2")

    imported = advisories.import_advisories(bench.core, "a source", documents(breaks=False))

    assert (between, kept) == (["TEST-1"], (500,))
    assert (imported.new, imported.number) == (600, 2)


def test_import_of_another_source_gives_up_one_that_was_broken_off(bench: Bench) -> None:
    import_feed(bench.core)
    with pytest.raises(BrokenOffError):
        advisories.import_advisories(bench.core, "a source", documents(breaks=True))

    imported = import_feed(bench.core, advisory("TEST-3", "three", ("introduced", "0")))

    assert imported.new == 1
    assert advisories.describe_advisories(bench.core).advisories == 3


def test_import_refuses_what_has_no_advisory(bench: Bench) -> None:
    with pytest.raises(ImportRefused, match="no advisory in OSV format in here: a: no JSON"):
        advisories.import_advisories(bench.core, "here", [("a", b"{")])


TRIVY = {
    "SchemaVersion": 2,
    "Results": [
        {"Target": "debian", "Type": "debian"},
        {"Target": "Python", "Type": "python-pkg", "Vulnerabilities": [
            {"VulnerabilityID": "CVE-2024-1", "PkgName": "one", "InstalledVersion": "1.0",
             "FixedVersion": "1.1, 2.0", "Severity": "HIGH", "Title": "bad", "PrimaryURL": "u",
             "CVSS": {"nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}},
            {"VulnerabilityID": "CVE-2024-2", "PkgName": "unseen", "InstalledVersion": "5"},
        ]},
    ],
}  # fmt: skip
GRYPE = {
    "matches": [
        {"vulnerability": {"id": "CVE-2024-1", "severity": "High", "fix": {"versions": ["1.1"]},
                           "cvss": [{"vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]},
         "artifact": {"name": "one", "version": "1.0", "type": "python"}},
        {"vulnerability": {"id": "CVE-2024-2"},
         "artifact": {"name": "unseen", "version": "5", "type": "go-module"}},
    ]
}  # fmt: skip


def command_of(folder: Path, report: object) -> str:
    """Give the command of a scanner that says this once it has found the layout."""
    program = folder / "scanner.py"
    program.write_text(
        "import json, pathlib, sys\n"
        "layout = pathlib.Path(sys.argv[1])\n"
        "(manifest,) = json.loads((layout / 'index.json').read_text())['manifests']\n"
        "blobs = layout / 'blobs' / 'sha256'\n"
        "document = json.loads((blobs / manifest['digest'][7:]).read_text())\n"
        "for one in [document['config'], *document['layers']]:\n"
        "    assert (blobs / one['digest'][7:]).stat().st_size == one['size']\n"
        f"print(json.dumps({report!r}))\n"
    )
    return f"{sys.executable} {program} {{layout}}"


@pytest.mark.parametrize("report", [TRIVY, GRYPE], ids=["trivy", "grype"])
def test_external_scanner_says_what_is_found(
    bench: Bench, ref: RepositoryRef, tmp_path: Path, report: object
) -> None:
    bench.push(ref, image_with(ONE), "v1")

    scan_all(bench.core, replace(SETTINGS, command=command_of(tmp_path, report)))

    page = describe(bench, ref)
    named = [
        (one.advisory, page.inventory.packages[one.package].name, one.severity, one.fixed)
        for one in page.matches
    ]
    assert named == [
        ("CVE-2024-1", "one", "HIGH", "1.1"),
        ("CVE-2024-2", "unseen", "UNDEFINED", ""),
    ]
    assert page.advisories["CVE-2024-1"].scores[0].value == 9.8


@pytest.mark.parametrize(
    ("command", "text"),
    [
        pytest.param("/no/such/scanner {layout}", "No such file", id="missing"),
        pytest.param("false {layout}", "false ended with 1", id="failing"),
        pytest.param("echo {layout}", "no JSON", id="no JSON"),
        pytest.param('echo \'{"a": "{layout}"}\'', "neither trivy's nor grype's", id="another"),
        pytest.param('echo \'{"matches": ["{layout}"]}\'', "not as expected", id="odd"),
    ],
)
def test_external_scanner_that_fails_fails_the_scan(
    bench: Bench, ref: RepositoryRef, command: str, text: str
) -> None:
    bench.push(ref, image_with(ONE), "v1")

    scan_all(bench.core, replace(SETTINGS, command=command))

    page = describe(bench, ref)
    assert page.scan.status == "FAILED"
    assert text in page.scan.description


def test_scan_reads_layers_over_each_other(bench: Bench, ref: RepositoryRef) -> None:
    import_feed(bench.core)
    gone = {f"{next(iter(ONE)).rpartition('/')[0]}/.wh.METADATA": b""}
    image = image_of_layers(layer(DEBIAN, ONE, python("two", "1")), layer(gone))
    bench.push(ref, image, "v1")

    scan_all(bench.core)

    assert found(bench, ref) == ["TEST-2"]
