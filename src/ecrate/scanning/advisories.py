"""Advisories: documents in OSV format, read into what matching and findings need.

Source: the OSV schema 1.7, https://ossf.github.io/osv-schema/.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ecrate.scanning.inventory import is_word, normal_ecosystem, normal_name
from ecrate.scanning.severity import SEVERITIES, Score, rate, read_score
from ecrate.scanning.versions import is_known

MAX_DOCUMENT: Final = 16 * 1024 * 1024
_LANGUAGES: Final = ("PyPI", "npm", "Go", "Maven")
_LONGEST_ID: Final = 255
_MOST_LINKS: Final = 100
_LONGEST_TEXT: Final = 4096
_CVE: Final = re.compile(r"CVE-\d{4}-\d{4,}")
_EVENTS: Final = ("introduced", "fixed", "last_affected", "limit")


class AdvisoryError(ValueError):
    """The document is no advisory; `str()` says why."""


class Range(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """Events (name, version) of one ECOSYSTEM or SEMVER range, in the document's order."""

    events: tuple[tuple[str, str], ...]


class Affected(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which versions of one package an advisory is about; `ecosystem` and `name` are normal."""

    ecosystem: str
    name: str
    severity: str = "UNDEFINED"
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


class Advisory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What findings tell of an advisory; times are epoch seconds."""

    id: str
    modified: float
    published: float = 0.0
    withdrawn: float = 0.0
    aliases: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    scores: tuple[Score, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a finding is called: the CVE, where there is one, else the advisory's own id.

        AWS: "The name associated with the finding, usually a CVE number."
        """
        cves = sorted(one for one in (self.id, *self.aliases) if _CVE.fullmatch(one))
        return cves[0] if cves else self.id

    @property
    def url(self) -> str:
        """Where to read more."""
        return f"https://osv.dev/vulnerability/{self.id}"


def parse_advisory(content: bytes) -> tuple[Advisory, tuple[Affected, ...]]:
    """Read a document; raises `AdvisoryError`.

    What it says of ecosystems whose versions nobody here can compare is left out.
    """
    if len(content) > MAX_DOCUMENT:
        raise AdvisoryError(f"larger than {MAX_DOCUMENT} bytes")
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AdvisoryError(f"no JSON: {error}") from None
    if not isinstance(document, dict):
        raise AdvisoryError("no JSON object")
    id_ = document.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= _LONGEST_ID or not id_.isprintable():
        raise AdvisoryError(f"'id' must be a text of 1 to {_LONGEST_ID} characters")
    scores = _scores(document.get("severity"))
    advisory = Advisory(
        id=id_,
        modified=_time(document, "modified", required=True),
        published=_time(document, "published"),
        withdrawn=_time(document, "withdrawn"),
        aliases=tuple(dict.fromkeys([*_texts(document, "aliases"), *_texts(document, "upstream")])),
        title=_text(document.get("summary")),
        description=_text(document.get("details")),
        scores=scores,
        links=_links(document.get("references")),
    )
    found: dict[tuple[str, str], list[Affected]] = {}
    for given in _dicts(document, "affected"):
        affected = _affected(document, given, scores)
        if affected is not None:
            found.setdefault((affected.ecosystem, affected.name), []).append(affected)
    return advisory, tuple(_merged(several) for several in found.values())


def _merged(several: list[Affected]) -> Affected:
    """Give what several entries say of one package as one: it is affected if any says so."""
    first = several[0]
    return Affected(
        first.ecosystem,
        first.name,
        min((one.severity for one in several), key=SEVERITIES.index),
        tuple(each for one in several for each in one.ranges),
        tuple(dict.fromkeys(each for one in several for each in one.versions)),
    )


def _affected(
    document: dict[str, Any], given: dict[str, Any], scores: tuple[Score, ...]
) -> Affected | None:
    package = given.get("package")
    if not isinstance(package, dict):
        return None
    ecosystem, name = package.get("ecosystem"), package.get("name")
    if not isinstance(ecosystem, str) or not isinstance(name, str) or not is_word(name):
        return None
    ecosystem = normal_ecosystem(ecosystem)
    if not is_known(ecosystem):
        return None
    return Affected(
        ecosystem,
        normal_name(ecosystem, name),
        rate(
            _scores(given.get("severity")) or scores,
            _word(document, given),
            is_distribution=ecosystem not in _LANGUAGES,
        ),
        tuple(
            Range(_events(one))
            for one in _dicts(given, "ranges")
            if one.get("type") in ("ECOSYSTEM", "SEMVER")
        ),
        tuple(_texts(given, "versions")),
    )


def _events(given: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, event[name])
        for event in _dicts(given, "events")
        for name in _EVENTS
        if isinstance(event.get(name), str)
    )


def _word(document: dict[str, Any], given: dict[str, Any]) -> Any:
    """Give what a publisher calls the severity, wherever its documents say so."""
    for place in (given, document):
        for kind in ("ecosystem_specific", "database_specific"):
            specific = place.get(kind)
            if isinstance(specific, dict):
                for name in ("severity", "urgency", "priority"):
                    if isinstance(specific.get(name), str):
                        return specific[name]
        for one in _dicts(place, "severity"):
            if one.get("type") == "Ubuntu":
                return one.get("score")
    return None


def _scores(given: Any) -> tuple[Score, ...]:
    if not isinstance(given, list):
        return ()
    vectors = [
        one["score"]
        for one in given
        if isinstance(one, dict)
        and str(one.get("type")).startswith("CVSS_")
        and isinstance(one.get("score"), str)
    ]
    return tuple(score for vector in vectors if (score := read_score(vector)) is not None)


def _time(document: dict[str, Any], member: str, *, required: bool = False) -> float:
    given = document.get(member)
    if given is None and not required:
        return 0.0
    try:
        # Python takes six digits behind the point, OSV as many as there are.
        text = re.sub(r"(\.\d{6})\d+", r"\1", str(given)[:64])
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise AdvisoryError(f"'{member}' must be a time of RFC 3339") from None


def _links(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        return ()
    urls = (one.get("url") for one in given if isinstance(one, dict))
    good = (url for url in urls if isinstance(url, str) and url.startswith(("http://", "https://")))
    return tuple(dict.fromkeys(good))[:_MOST_LINKS]


def _text(given: Any) -> str:
    return given[:_LONGEST_TEXT] if isinstance(given, str) else ""


def _texts(document: dict[str, Any], member: str) -> list[str]:
    given = document.get(member)
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def _dicts(document: dict[str, Any], member: str) -> list[dict[str, Any]]:
    given = document.get(member)
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
