"""An inventory as a software bill of materials: CycloneDX 1.5 and SPDX 2.3, both in JSON.

The same image always gives the same bytes.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ecrate.scanning.inventory import Inventory, Package, purl_of

CYCLONEDX: Final = "application/vnd.cyclonedx+json"
SPDX: Final = "application/spdx+json"
_SPDX_ID: Final = re.compile(r"[^a-zA-Z0-9.-]")
_NAMESPACE: Final = uuid.UUID("6a8f4f5e-6f3c-4c1c-9a56-7e0f3c9a1d11")


@dataclass(frozen=True, slots=True)
class Subject:
    """The image: its repository's name, its digest, when it was pushed, and who writes this."""

    name: str
    digest: str
    pushed_at: float
    tool_version: str

    @property
    def time(self) -> str:
        return datetime.fromtimestamp(self.pushed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def id(self) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, f"{self.name}@{self.digest}")


def write_cyclonedx(inventory: Inventory, subject: Subject) -> bytes:
    """Source: CycloneDX 1.5, JSON reference."""
    algorithm, _, encoded = subject.digest.partition(":")
    components = [_operating_system(inventory)] if inventory.release.id else []
    components += [
        {
            "type": "library",
            "bom-ref": f"package-{place}",
            "name": _short_name(package),
            **_group(package),
            "version": package.version,
            "purl": purl_of(package, inventory.release),
            "properties": [
                {"name": "ecrate:path", "value": package.path},
                {"name": "ecrate:layer", "value": package.layer},
            ],
        }
        for place, package in enumerate(inventory.packages)
    ]
    return msgspec.json.encode(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{subject.id}",
            "version": 1,
            "metadata": {
                "timestamp": subject.time,
                "tools": {
                    "components": [
                        {"type": "application", "name": "ecrate", "version": subject.tool_version}
                    ]
                },
                "component": {
                    "type": "container",
                    "bom-ref": "image",
                    "name": subject.name,
                    "version": subject.digest,
                    "hashes": [
                        {"alg": algorithm.upper().replace("SHA", "SHA-"), "content": encoded}
                    ],
                },
            },
            "components": components,
        }
    )


def _operating_system(inventory: Inventory) -> dict[str, Any]:
    release = inventory.release
    return {
        "type": "operating-system",
        "bom-ref": "operating-system",
        "name": release.id,
        "version": release.version,
        "description": release.name,
    }


def _short_name(package: Package) -> str:
    return package.name.rpartition(":")[2] if package.kind == "maven" else package.name


def _group(package: Package) -> dict[str, str]:
    group = package.name.rpartition(":")[0] if package.kind == "maven" else ""
    return {"group": group} if group else {}


def write_spdx(inventory: Inventory, subject: Subject) -> bytes:
    """Source: SPDX 2.3, clauses 6, 7 and 11."""
    algorithm, _, encoded = subject.digest.partition(":")
    image = {
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "versionInfo": subject.digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": algorithm.upper(), "checksumValue": encoded}],
        "primaryPackagePurpose": "CONTAINER",
    }
    packages = [
        {
            "SPDXID": _spdx_id(place, package),
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "sourceInfo": f"from {package.path} in layer {package.layer}",
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl_of(package, inventory.release),
                }
            ],
        }
        for place, package in enumerate(inventory.packages)
    ]
    relationships = [
        {
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": "SPDXRef-image",
        },
        *(
            {
                "spdxElementId": "SPDXRef-image",
                "relationshipType": "CONTAINS",
                "relatedSpdxElement": package["SPDXID"],
            }
            for package in packages
        ),
    ]
    return msgspec.json.encode(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"{subject.name}@{subject.digest}",
            "documentNamespace": f"https://spdx.org/spdxdocs/ecrate-{subject.id}",
            "creationInfo": {
                "created": subject.time,
                "creators": [f"Tool: ecrate-{subject.tool_version}"],
            },
            "packages": [image, *packages],
            "relationships": relationships,
        }
    )


def _spdx_id(place: int, package: Package) -> str:
    return f"SPDXRef-{package.kind}-{_SPDX_ID.sub('-', package.name)}-{place}"
