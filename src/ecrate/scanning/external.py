"""An external scanner, as a command: it gets an image as an OCI layout, and says what it found.

What it says, on standard output, is the JSON of trivy (`trivy image --input {layout} --format
json`) or grype (`grype oci-dir:{layout} --output json`).
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from ecrate.scanning.advisories import Advisory
from ecrate.scanning.inventory import Inventory, Package
from ecrate.scanning.matching import Match
from ecrate.scanning.results import Findings
from ecrate.scanning.severity import Score, rate, read_score

LAYOUT: Final = "{layout}"
_LARGEST_REPORT: Final = 256 * 1024 * 1024
_LONGEST_TEXT: Final = 4096
_SECONDS: Final = 3600.0
_POLL: Final = 0.5


class ScannerError(Exception):
    """The scanner failed; `str()` says how."""


def run_scanner(
    command: str, layout: Path, report: Path, may_go_on: Callable[[], bool]
) -> dict[str, Any]:
    """Run the command, with the layout's folder in the place of `{layout}`; give its report, which
    goes through the file `report`. Raises `ScannerError`.
    """
    words = [word.replace(LAYOUT, str(layout)) for word in shlex.split(command)]
    errors = report.with_suffix(".errors")
    try:
        with (
            report.open("wb") as out,
            errors.open("wb") as err,
            subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            ) as child,
        ):
            _wait(child, may_go_on)
    except OSError as error:
        raise ScannerError(f"cannot run {words[0]}: {error.strerror}") from None
    if child.returncode:
        with errors.open("rb") as said:
            said.seek(max(0, errors.stat().st_size - 1000))
            told = said.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ScannerError(f"{words[0]} ended with {child.returncode}: {''.join(told)}")
    if report.stat().st_size > _LARGEST_REPORT:
        raise ScannerError(f"{words[0]} said more than {_LARGEST_REPORT} bytes")
    try:
        found = msgspec.json.decode(report.read_bytes())
    except (msgspec.DecodeError, RecursionError) as error:
        raise ScannerError(f"{words[0]} said what is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ScannerError(f"{words[0]} said what is no JSON object")
    return found


def _wait(child: subprocess.Popen[bytes], may_go_on: Callable[[], bool]) -> None:
    os.setpriority(os.PRIO_PROCESS, child.pid, 10)
    end = time.monotonic() + _SECONDS
    while True:
        try:
            child.wait(_POLL)
        except subprocess.TimeoutExpired:
            is_late = time.monotonic() > end
            if may_go_on() and not is_late:
                continue
            os.killpg(child.pid, 9)
            if is_late:
                raise ScannerError(f"it took more than {_SECONDS:.0f} seconds") from None
            raise InterruptedError from None
        return


def check_command(command: str) -> None:
    """Raise `OSError` where its program is not there or cannot be run."""
    if command and shutil.which(program := shlex.split(command)[0]) is None:
        raise FileNotFoundError(errno.ENOENT, f"there is no program {program}")


def read_report(report: dict[str, Any], inventory: Inventory) -> tuple[Inventory, Findings]:
    """Give what a report says, and the inventory with what only the scanner saw.

    Raises `ScannerError` for a report of neither scanner.
    """
    reading = _Reading(inventory)
    try:
        if "matches" in report:
            for one in report["matches"]:
                reading.take_grype(one)
        elif "SchemaVersion" in report or "Results" in report:
            for result in report.get("Results") or ():
                for one in result.get("Vulnerabilities") or ():
                    reading.take_trivy(one, result)
        else:
            raise ScannerError("the report is neither trivy's nor grype's")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ScannerError(f"the report is not as expected: {error!r}") from None
    matches = sorted(reading.matches.values(), key=lambda one: one.rank)
    return reading.whole, Findings(tuple(matches), reading.advisories)


class _Reading:
    """What was read of a report so far."""

    def __init__(self, inventory: Inventory) -> None:
        self.matches: dict[tuple[str, int], Match] = {}
        self.advisories: dict[str, Advisory] = {}
        self._inventory = inventory
        self._packages = [*inventory.packages]
        self._places = {
            (one.name.lower(), one.version): place for place, one in enumerate(self._packages)
        }

    @property
    def whole(self) -> Inventory:
        return msgspec.structs.replace(self._inventory, packages=tuple(self._packages))

    def take_trivy(self, given: dict[str, Any], result: dict[str, Any]) -> None:
        """Source: trivy's documentation, "Reporting", JSON."""
        package = Package(
            str(result.get("Type") or "generic"),
            str(given["PkgName"]),
            str(given["InstalledVersion"]),
            str(given.get("PkgPath") or result.get("Target") or ""),
            str((given.get("Layer") or {}).get("Digest") or ""),
        )
        vectors = [
            one[name]
            for one in (given.get("CVSS") or {}).values()
            for name in ("V40Vector", "V3Vector", "V2Vector")
            if one.get(name)
        ]
        self._take(
            str(given["VulnerabilityID"]),
            package,
            word=given.get("Severity"),
            fixed=str(given.get("FixedVersion") or "").partition(",")[0],
            title=given.get("Title"),
            description=given.get("Description"),
            vectors=vectors,
            links=[given.get("PrimaryURL"), *(given.get("References") or ())],
        )

    def take_grype(self, given: dict[str, Any]) -> None:
        """Source: grype's README, "Output formats", json."""
        found, artifact = given["vulnerability"], given["artifact"]
        places = artifact.get("locations") or [{}]
        package = Package(
            str(artifact.get("type") or "generic"),
            str(artifact["name"]),
            str(artifact["version"]),
            str(places[0].get("path") or ""),
            str(places[0].get("layerID") or ""),
        )
        fixes = (found.get("fix") or {}).get("versions") or [""]
        self._take(
            str(found["id"]),
            package,
            word=found.get("severity"),
            fixed=str(fixes[0]),
            title=None,
            description=found.get("description"),
            vectors=[one["vector"] for one in found.get("cvss") or () if one.get("vector")],
            links=[found.get("dataSource"), *(found.get("urls") or ())],
        )

    def _take(
        self,
        id_: str,
        package: Package,
        *,
        word: Any,
        fixed: str,
        title: Any,
        description: Any,
        vectors: list[str],
        links: list[Any],
    ) -> None:
        key = (package.name.lower(), package.version)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._packages)
            self._packages.append(package)
        scores: list[Score] = [one for v in vectors if (one := read_score(str(v))) is not None]
        severity = rate(scores, word, is_distribution=True)
        self.matches[id_, place] = Match(id_, place, severity, fixed)
        self.advisories[id_] = Advisory(
            id_,
            0.0,
            title=str(title or "")[:_LONGEST_TEXT],
            description=str(description or "")[:_LONGEST_TEXT],
            scores=tuple(dict.fromkeys(scores)),
            links=tuple(dict.fromkeys(str(one) for one in links if one)),
        )
