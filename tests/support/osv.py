"""OSV documents read the naive way, to hold ecrate's own evaluation against."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

# Beside the checkout, or above it.
_PLACES = [one / "shared" / "osv" / "PyPI.zip" for one in Path(__file__).parents[3:]]
REAL = next((one for one in _PLACES if one.exists()), _PLACES[0])
FEED = Path(__file__).parents[1] / "osv"

# Old releases of well-known packages, as pip installed them.
OLD_RELEASES = {
    "Django": "2.2.1",
    "Flask": "0.12.2",
    "Jinja2": "2.10",
    "Pillow": "6.2.0",
    "PyYAML": "5.1",
    "Pygments": "2.3.1",
    "Twisted": "18.9.0",
    "Werkzeug": "0.14.1",
    "aiohttp": "3.6.2",
    "ansible": "2.7.5",
    "apache-airflow": "1.10.2",
    "bleach": "3.1.0",
    "cryptography": "2.6.1",
    "httplib2": "0.17.0",
    "ipython": "7.16.0",
    "jupyter-core": "4.6.0",
    "lxml": "4.3.0",
    "nltk": "3.4",
    "notebook": "5.7.0",
    "numpy": "1.16.0",
    "paramiko": "2.4.0",
    "pip": "19.0",
    "protobuf": "3.6.0",
    "requests": "2.19.1",
    "rsa": "4.0",
    "salt": "2019.2.0",
    "scrapy": "1.6.0",
    "setuptools": "40.0.0",
    "sqlalchemy": "1.2.17",
    "tensorflow": "2.3.0",
    "tornado": "5.1",
    "urllib3": "1.24.1",
    "waitress": "1.3.1",
    "wheel": "0.33.0",
}


def read_real() -> list[dict[str, Any]]:
    """Give all documents of the real feed."""
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        return [json.loads(archive.read(name)) for name in names]


def evaluate(documents: list[dict[str, Any]], name: str, version: str) -> set[str]:
    """Give the ids of the advisories on this release of a Python package.

    Source: the OSV schema, "Evaluation", word for word.
    """
    return {
        document["id"]
        for document in documents
        if "withdrawn" not in document
        for affected in document["affected"]
        if affected["package"]["ecosystem"] == "PyPI"
        and canonicalize_name(affected["package"]["name"]) == canonicalize_name(name)
        and _is_affected(affected, version)
    }


def _is_affected(affected: dict[str, Any], version: str) -> bool:
    if version in affected.get("versions", []):
        return True
    return any(
        _is_in(given["events"], Version(version))
        for given in affected.get("ranges", [])
        if given["type"] == "ECOSYSTEM"
    )


def _is_in(events: list[dict[str, str]], version: Version) -> bool:
    try:
        ordered = sorted(
            ((_parsed(text), name) for event in events for name, text in event.items()),
            key=lambda one: one[0],
        )
    except InvalidVersion:
        return False
    is_vulnerable = False
    for at, name in ordered:
        if name == "introduced" and version >= at:
            is_vulnerable = True
        elif (name == "fixed" and version >= at) or (name == "last_affected" and version > at):
            is_vulnerable = False
    return is_vulnerable


def _parsed(text: str) -> Version:
    return Version("0.dev0") if text == "0" else Version(text)
