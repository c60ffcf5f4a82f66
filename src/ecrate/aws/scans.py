"""The operations on scans: starting one, and what it found, as basic and enhanced scans tell it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from ecrate.aws.call import DEFAULT_PAGE, Call, parse_image_id, render_image_id
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.images import Image
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.scanning import ENHANCED, Scan
from ecrate.operations import scans
from ecrate.scanning.advisories import Advisory
from ecrate.scanning.inventory import Package
from ecrate.scanning.matching import Match
from ecrate.scanning.severity import Score

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

# AWS: the service model's limit of an attribute's value.
_LONGEST_VALUE: Final = 256
_SOURCE: Final = "OSV"
# AWS: Inspector's names of package managers.
_MANAGERS: Final = {
    "deb": "OS",
    "apk": "OS",
    "rpm": "OS",
    "pypi": "PIP",
    "npm": "NPM",
    "golang": "GOMOD",
    "maven": "JAR",
}


def start_image_scan(call: Call[t.StartImageScanRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    image_id = _named(given["imageId"])
    image, scan = scans.start_image_scan(call.core, call.caller, ref, image_id)
    return {
        **_head(ref, image, image_id),
        "imageScanStatus": render_status(call, image, scan),
    }


def describe_image_scan_findings(
    call: Call[t.DescribeImageScanFindingsRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    image_id, token = _named(given["imageId"]), given.get("nextToken")
    scope = f"DescribeImageScanFindings {ref.arn} {image_id.digest} {image_id.tag}"
    after = None
    if token is not None:
        rank, advisory, package = call.page_position(scope, token)
        after = (rank, advisory, package)
    page = scans.describe_image_scan_findings(
        call.core,
        call.caller,
        ref,
        image_id,
        after=after,
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer = {
        **_head(ref, page.image, image_id),
        "imageScanStatus": render_status(call, page.image, page.scan),
    }
    if page.scan.status != "COMPLETE":
        return answer
    answer["imageScanFindings"] = _findings(ref, page)
    if page.next_rank is not None:
        answer["nextToken"] = call.page_token(scope, page.next_rank)
    return answer


def _named(wire_id: Any) -> ImageId:
    image_id = parse_image_id(wire_id)
    if isinstance(image_id, EcrateError):
        raise InvalidParameter("imageId", str(image_id))
    return image_id


def _head(ref: RepositoryRef, image: Image, image_id: ImageId) -> dict[str, Any]:
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "imageId": render_image_id(ImageId(image.digest, image_id.tag)),
    }


def render_status(call: Call[Any], image: Image, scan: Scan) -> dict[str, str]:
    """Give an ImageScanStatus."""
    status, description = scan.wire_status(image, call.core.clock())
    return {"status": status, **({"description": description} if description else {})}


def render_summary(scan: Scan) -> dict[str, Any]:
    """Give an ImageScanFindingsSummary: when, by what, and how many of each severity."""
    summary: dict[str, Any] = {"findingSeverityCounts": dict(scan.counts)}
    if scan.completed_at is not None:
        summary["imageScanCompletedAt"] = round(scan.completed_at, 3)
    if scan.feed_updated_at is not None:
        summary["vulnerabilitySourceUpdatedAt"] = round(scan.feed_updated_at, 3)
    return summary


def _findings(ref: RepositoryRef, page: scans.ScanPage) -> dict[str, Any]:
    is_enhanced = page.scan.scan_type == ENHANCED
    found = [
        _enhanced(ref, page, one) if is_enhanced else _basic(page, one) for one in page.matches
    ]
    return {**render_summary(page.scan), "enhancedFindings" if is_enhanced else "findings": found}


def _basic(page: scans.ScanPage, match: Match) -> dict[str, Any]:
    advisory = _advisory(page, match)
    package = page.inventory.packages[match.package]
    attributes = {
        "package_name": package.name,
        "package_version": package.version,
        "advisory_id": advisory.id,
        "fixed_version": match.fixed,
    }
    for score in advisory.scores:
        name = f"CVSS{score.version[0]}"
        attributes |= {f"{name}_VECTOR": score.vector, f"{name}_SCORE": str(score.value)}
    finding = {
        "name": advisory.name,
        "uri": advisory.url,
        "severity": match.severity,
        "attributes": [
            {"key": key, "value": value[:_LONGEST_VALUE]}
            for key, value in attributes.items()
            if value
        ],
    }
    if description := advisory.description or advisory.title:
        finding["description"] = description
    return finding


def _advisory(page: scans.ScanPage, match: Match) -> Advisory:
    """Give the advisory; of one that is not in force any more, only its id is left."""
    return page.advisories.get(match.advisory) or Advisory(match.advisory, 0.0)


def _enhanced(ref: RepositoryRef, page: scans.ScanPage, match: Match) -> dict[str, Any]:
    advisory = _advisory(page, match)
    package = page.inventory.packages[match.package]
    seen_at = page.scan.feed_updated_at or page.scan.completed_at or match.since
    best = max(advisory.scores, key=lambda score: score.version, default=None)
    finding: dict[str, Any] = {
        "awsAccountId": ref.registry.id,
        "description": advisory.description or advisory.title or advisory.name,
        "findingArn": _finding_arn(ref, page.image, match),
        "firstObservedAt": round(match.since, 3),
        "lastObservedAt": round(max(seen_at, match.since), 3),
        "packageVulnerabilityDetails": _details(advisory, package, match),
        "remediation": {"recommendation": {"text": _remedy(package, match)}},
        "resources": [_resource(ref, page)],
        "severity": "UNTRIAGED" if match.severity == "UNDEFINED" else match.severity,
        "status": "ACTIVE",
        "title": f"{advisory.name} - {package.name}",
        "type": "PACKAGE_VULNERABILITY",
        "updatedAt": round(max(seen_at, match.since), 3),
        "fixAvailable": "YES" if match.fixed else "NO",
    }
    if best is not None:
        finding["score"] = best.value
        finding["scoreDetails"] = {
            "cvss": {
                "score": best.value,
                "scoreSource": _SOURCE,
                "scoringVector": best.vector,
                "version": best.version,
            }
        }
    return finding


def _finding_arn(ref: RepositoryRef, image: Image, match: Match) -> str:
    what = f"{ref.arn}@{image.digest} {match.advisory} {match.package}"
    name = hashlib.sha256(what.encode()).hexdigest()[:32]
    return f"arn:aws:inspector2:{ref.registry.region}:{ref.registry.id}:finding/{name}"


def _remedy(package: Package, match: Match) -> str:
    if match.fixed:
        return f"Upgrade {package.name} to {match.fixed} or later"
    return "None Provided"


def _details(advisory: Advisory, package: Package, match: Match) -> dict[str, Any]:
    others = dict.fromkeys((advisory.id, *advisory.aliases))
    details: dict[str, Any] = {
        "cvss": [_cvss(score) for score in advisory.scores],
        "referenceUrls": list(advisory.links),
        "relatedVulnerabilities": [one for one in others if one != advisory.name],
        "source": _SOURCE,
        "sourceUrl": advisory.url,
        "vendorSeverity": match.severity,
        "vulnerabilityId": advisory.name,
        "vulnerablePackages": [_package(package, match)],
    }
    if advisory.published:
        details["vendorCreatedAt"] = round(advisory.published, 3)
    if advisory.modified:
        details["vendorUpdatedAt"] = round(advisory.modified, 3)
    return details


def _cvss(score: Score) -> dict[str, Any]:
    return {
        "baseScore": score.value,
        "scoringVector": score.vector,
        "source": _SOURCE,
        "version": score.version,
    }


def _package(package: Package, match: Match) -> dict[str, Any]:
    version, release, epoch = package.version, "", ""
    if package.kind in ("deb", "rpm"):
        epoch, colon, rest = version.partition(":")
        version, epoch = (rest, epoch) if colon else (version, "0")
        version, _, release = version.rpartition("-") if "-" in version else (version, "", "")
    wire: dict[str, Any] = {
        "name": package.name,
        "version": version,
        "packageManager": _MANAGERS.get(package.kind, package.kind.upper()),
        "arch": package.architecture or "NOARCH",
    }
    if epoch.isdigit():
        wire["epoch"] = int(epoch)
    optional = {
        "release": release,
        "filePath": package.path,
        "sourceLayerHash": package.layer,
        "fixedInVersion": match.fixed,
    }
    return wire | {name: value for name, value in optional.items() if value}


def _resource(ref: RepositoryRef, page: scans.ScanPage) -> dict[str, Any]:
    release = page.inventory.release
    details: dict[str, Any] = {
        "imageHash": page.image.digest.text,
        "imageTags": list(page.tags),
        "pushedAt": round(page.image.pushed_at, 3),
        "registry": ref.registry.id,
        "repositoryName": ref.name,
    }
    if release.id:
        details["platform"] = f"{release.id.upper()}_{release.version.replace('.', '_')}".strip("_")
    return {
        "type": "AWS_ECR_CONTAINER_IMAGE",
        "id": f"{ref.arn}/{page.image.digest}",
        "tags": {},
        "details": {"awsEcrContainerImage": details},
    }
