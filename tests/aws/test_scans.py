"""StartImageScan, DescribeImageScanFindings, and when images are scanned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ecrate.operations.advisories import import_advisories
from tests.support import osv
from tests.support.cli import run_advisories
from tests.support.door import Account
from tests.support.images import MadeImage
from tests.support.osv import FEED, OLD_RELEASES, evaluate, read_real
from tests.support.pushing import push_image
from tests.support.scanning import image_with, import_feed, npm, python, scan_all
from tests.support.server import Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

V1: Any = {"imageTag": "v1"}


def push(account: Account, image: MadeImage, name: str = "one") -> dict[str, Any]:
    """Push the image as v1 to a new repository; give the members that name it."""
    account.create(name)
    account.put(name, account.upload(name, image).manifest, "v1")
    return {"repositoryName": name, "imageId": V1}


def configure(account: Account, scan_type: str, **rules: list[str]) -> dict[str, Any]:
    """Put a configuration of (frequency, filters)."""
    answer = account.call(
        "PutRegistryScanningConfiguration",
        scanType=scan_type,
        rules=[
            {
                "scanFrequency": frequency,
                "repositoryFilters": [{"filter": one, "filterType": "WILDCARD"} for one in filters],
            }
            for frequency, filters in rules.items()
        ],
    )
    configuration: dict[str, Any] = answer["registryScanningConfiguration"]
    return configuration


@pytest.fixture
def feed(account: Account) -> None:
    """The project's own feed, and that of the tests."""
    core = account.door.bench.core
    documents = [(path.name, path.read_bytes()) for path in FEED.glob("*.json")]
    import_advisories(core, "own", documents)
    import_feed(core)


SAMPLE = image_with(python("sample-lib", "1.0"), npm("sample-script", "1.1.0"))


@pytest.mark.usefixtures("feed")
def test_start_image_scan_is_in_progress_until_it_is_complete(account: Account) -> None:
    asked = push(account, SAMPLE)

    started = account.call("StartImageScan", **asked)
    waiting = account.call("DescribeImageScanFindings", **asked)
    scan_all(account.door.bench.core)
    ended = account.call("DescribeImageScanFindings", **asked)

    assert started["imageId"] == {"imageDigest": SAMPLE.digest, "imageTag": "v1"}
    assert started["imageScanStatus"] == waiting["imageScanStatus"] == {"status": "IN_PROGRESS"}
    assert "imageScanFindings" not in waiting
    assert ended["imageScanStatus"] == {
        "status": "COMPLETE",
        "description": "The scan was completed successfully.",
    }


@pytest.mark.usefixtures("feed")
def test_describe_image_scan_findings_tells_basic_findings(account: Account) -> None:
    asked = push(account, SAMPLE)
    account.call("StartImageScan", **asked)
    scan_all(account.door.bench.core)

    found = account.call("DescribeImageScanFindings", **asked)["imageScanFindings"]

    now = account.clock.now
    assert (found["imageScanCompletedAt"], found["vulnerabilitySourceUpdatedAt"]) == (now, now)
    assert found["findingSeverityCounts"] == {"CRITICAL": 2, "HIGH": 1, "UNDEFINED": 1}
    assert found["findings"][0] == {
        "name": "CVE-2024-100001",
        "description": "A made-up flaw in sample-lib.",
        "uri": "https://osv.dev/vulnerability/ECRATE-2024-1",
        "severity": "CRITICAL",
        "attributes": [
            {"key": "package_name", "value": "sample-lib"},
            {"key": "package_version", "value": "1.0"},
            {"key": "advisory_id", "value": "ECRATE-2024-1"},
            {"key": "fixed_version", "value": "2.0"},
            {"key": "CVSS3_VECTOR", "value": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
            {"key": "CVSS3_SCORE", "value": "9.8"},
        ],
    }
    assert {"key": "CVSS2_SCORE", "value": "7.5"} in found["findings"][2]["attributes"]


@pytest.mark.usefixtures("feed")
def test_describe_image_scan_findings_tells_enhanced_findings(account: Account) -> None:
    configure(account, "ENHANCED", SCAN_ON_PUSH=["*"])
    asked = push(account, SAMPLE)
    pending = account.call("DescribeImageScanFindings", **asked)["imageScanStatus"]
    scan_all(account.door.bench.core)

    answer = account.call("DescribeImageScanFindings", **asked)

    assert (pending["status"], answer["imageScanStatus"]["status"]) == ("PENDING", "COMPLETE")
    assert "findings" not in answer["imageScanFindings"]
    first = answer["imageScanFindings"]["enhancedFindings"][0]
    assert first["awsAccountId"] == account.id
    assert first["title"] == "CVE-2024-100001 - sample-lib"
    assert (first["severity"], first["score"], first["status"]) == ("CRITICAL", 9.8, "ACTIVE")
    assert first["fixAvailable"] == "YES"
    assert first["firstObservedAt"] == first["lastObservedAt"] == account.clock.now
    details = first["packageVulnerabilityDetails"]
    assert details["vulnerabilityId"] == "CVE-2024-100001"
    assert details["relatedVulnerabilities"] == ["ECRATE-2024-1"]
    assert details["vulnerablePackages"] == [
        {
            "name": "sample-lib",
            "version": "1.0",
            "packageManager": "PIP",
            "arch": "NOARCH",
            "filePath": next(iter(python("sample-lib", "1.0"))),
            "sourceLayerHash": SAMPLE.layers[0].digest,
            "fixedInVersion": "2.0",
        }
    ]
    (resource,) = first["resources"]
    image = resource["details"]["awsEcrContainerImage"]
    assert (image["imageHash"], image["imageTags"]) == (SAMPLE.digest, ["v1"])
    assert image["platform"] == "DEBIAN_12"
    severities = [one["severity"] for one in answer["imageScanFindings"]["enhancedFindings"]]
    assert severities == ["CRITICAL", "CRITICAL", "HIGH", "UNTRIAGED"]


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize(
    ("scan_type", "member"), [("BASIC", "findings"), ("ENHANCED", "enhancedFindings")]
)
def test_describe_image_scan_findings_pages(account: Account, scan_type: str, member: str) -> None:
    configure(account, scan_type, SCAN_ON_PUSH=["*"])
    asked = push(account, SAMPLE)
    scan_all(account.door.bench.core)
    paginator = account.ecr.get_paginator("describe_image_scan_findings")

    pages = list(paginator.paginate(**asked, PaginationConfig={"PageSize": 1}))

    lists: list[Any] = [page["imageScanFindings"][member] for page in pages]  # type: ignore[literal-required] # one of two
    assert [len(one) for one in lists] == [1, 1, 1, 1]
    assert len({str(one) for one in lists}) == 4


def test_describe_image_scan_findings_refuses_a_token_for_another_image(account: Account) -> None:
    import_feed(account.door.bench.core)
    asked = push(account, image_with(python("one", "1"), python("two", "1")))
    account.call("StartImageScan", **asked)
    scan_all(account.door.bench.core)
    token = account.call("DescribeImageScanFindings", **asked, maxResults=1)["nextToken"]
    other = push(account, image_with(python("one", "1"), python("two", "1")), "two")
    account.call("StartImageScan", **other)
    scan_all(account.door.bench.core)

    _, code, _ = account.refuse("DescribeImageScanFindings", **other, nextToken=token)

    assert code == "InvalidParameterException"


def test_describe_images_tells_of_scans(account: Account) -> None:
    import_feed(account.door.bench.core)
    push(account, image_with(python("one", "1")))
    before = account.call("DescribeImages", repositoryName="one")["imageDetails"][0]
    account.call("StartImageScan", repositoryName="one", imageId=V1)
    scan_all(account.door.bench.core)

    after = account.call("DescribeImages", repositoryName="one", imageIds=[V1])["imageDetails"][0]

    assert "imageScanStatus" not in before
    assert after["imageScanStatus"]["status"] == "COMPLETE"
    assert after["imageScanFindingsSummary"] == {
        "findingSeverityCounts": {"UNDEFINED": 1},
        "imageScanCompletedAt": account.clock.now,
        "vulnerabilitySourceUpdatedAt": account.clock.now,
    }


def test_get_registry_scanning_configuration_is_basic_at_first(account: Account) -> None:
    answer = account.call("GetRegistryScanningConfiguration")

    assert answer == {
        "registryId": account.id,
        "scanningConfiguration": {"scanType": "BASIC", "rules": []},
    }


def test_put_registry_scanning_configuration_replaces(account: Account) -> None:
    configure(account, "ENHANCED", CONTINUOUS_SCAN=["prod"], SCAN_ON_PUSH=["a*", "b"])

    put = configure(account, "BASIC", SCAN_ON_PUSH=["*"])

    assert account.call("GetRegistryScanningConfiguration")["scanningConfiguration"] == put
    assert put["scanType"] == "BASIC"


@pytest.mark.parametrize(
    ("scan_type", "frequencies"),
    [
        pytest.param("BASIC", ["CONTINUOUS_SCAN"], id="basic and continuous"),
        pytest.param("ENHANCED", ["MANUAL"], id="enhanced and manual"),
        pytest.param("BASIC", ["SCAN_ON_PUSH", "SCAN_ON_PUSH"], id="twice"),
    ],
)
def test_put_registry_scanning_configuration_refuses_what_the_type_does_not_have(
    account: Account, scan_type: str, frequencies: list[str]
) -> None:
    rules = [{"scanFrequency": one, "repositoryFilters": []} for one in frequencies]

    _, code, message = account.refuse(
        "PutRegistryScanningConfiguration", scanType=scan_type, rules=rules
    )

    assert (code, "'rules'" in message) == ("InvalidParameterException", True)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("prod", ["prod", "repo-prod", "prod-repo", "prodrepo"]),
        ("*prod", ["prod", "repo-prod"]),
        ("prod*", ["prod", "prod-repo", "prodrepo"]),
        ("*prod*", ["prod", "repo-prod", "prod-repo", "prodrepo"]),
        ("prod*repo", ["prod-repo", "prodrepo"]),
    ],
)  # AWS: user guide, "Filter wildcards".
def test_batch_get_repository_scanning_configuration_follows_filters(
    account: Account, pattern: str, names: list[str]
) -> None:
    every = ["prod", "repo-prod", "prod-repo", "prodrepo"]
    core = account.door.bench.core
    configure(account, "BASIC", SCAN_ON_PUSH=[pattern])
    for name in every:
        with core.database.write() as tx:
            tx.run(
                "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
                "tag_mutability_filters, scan_on_push, encryption_type) "
                "VALUES (?, 'us-east-1', ?, 0, 'MUTABLE', '[]', 0, 'AES256')",
                account.id,
                name,
            )

    answer = account.call("BatchGetRepositoryScanningConfiguration", repositoryNames=every)

    filters = {
        one["repositoryName"]: one["appliedScanFilters"]
        for one in answer["scanningConfigurations"]
        if one["scanFrequency"] == "SCAN_ON_PUSH"
    }
    applied = [{"filter": pattern, "filterType": "WILDCARD"}]
    assert filters == dict.fromkeys(names, applied)


def test_batch_get_repository_scanning_configuration_tells_what_is_not_there(
    account: Account,
) -> None:
    account.create("one", imageScanningConfiguration={"scanOnPush": False})

    answer = account.call("BatchGetRepositoryScanningConfiguration", repositoryNames=["one", "two"])

    assert answer["scanningConfigurations"] == [
        {
            "repositoryArn": account.arn("one"),
            "repositoryName": "one",
            "scanOnPush": False,
            "scanFrequency": "MANUAL",
            "appliedScanFilters": [],
        }
    ]
    assert answer["failures"] == [
        {
            "repositoryName": "two",
            "failureCode": "REPOSITORY_NOT_FOUND",
            "failureReason": "REPOSITORY_NOT_FOUND",
        }
    ]


@pytest.fixture(scope="module")
def scanning_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_server(
        tmp_path_factory.mktemp("scans") / "data",
        "--workers",
        "1",
        env={"ECRATE_SCAN_EVERY": "0.1"},
    ) as server:
        yield server


def old_image() -> MadeImage:
    """Make an image as pip leaves it that has installed old releases."""
    return image_with(*(python(name, version) for name, version in OLD_RELEASES.items()))


def attributes_of(finding: Any) -> dict[str, str]:
    return {one["key"]: one["value"] for one in finding["attributes"]}


@pytest.mark.skipif(not osv.REAL.exists(), reason="the real advisories are not beside the checkout")
def test_describe_image_scan_findings_reports_exactly_the_real_advisories(
    scanning_server: Server,
) -> None:
    ecr: ECRClient = scanning_server.ecr()
    run_advisories(scanning_server, "import", str(osv.REAL))
    ecr.create_repository(repositoryName="old", imageScanningConfiguration={"scanOnPush": True})
    push_image(ecr, "old", old_image(), "v1")
    ecr.get_waiter("image_scan_complete").wait(
        repositoryName="old", imageId=V1, WaiterConfig={"Delay": 1}
    )

    pages = ecr.get_paginator("describe_image_scan_findings").paginate(
        repositoryName="old", imageId=V1
    )

    findings = [one for page in pages for one in page["imageScanFindings"]["findings"]]
    told = [attributes_of(one) for one in findings]
    documents = read_real()
    assert sorted((one["package_name"], one["advisory_id"]) for one in told) == sorted(
        (name, id_)
        for name, version in OLD_RELEASES.items()
        for id_ in evaluate(documents, name, version)
    )


def test_advisories_are_imported_beside_a_server(scanning_server: Server, tmp_path: Path) -> None:
    again = [run_advisories(scanning_server, "import", str(FEED)) for _ in range(2)]

    told = run_advisories(scanning_server, "status")

    assert [one["new"] for one in again] == [15, 0]
    assert {"Alpine:v3.19", "Debian:12", "Go", "npm", "Ubuntu:22.04"} <= told["packages"].keys()
    assert not list(tmp_path.iterdir())
