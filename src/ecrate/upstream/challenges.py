"""What a registry asks for before it answers: the challenges of `WWW-Authenticate`.

Sources: RFC 9110, section 11.6.1; distribution's "Token Authentication Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ecrate.upstream.endpoints import Endpoint

ECR_SERVICE: Final = "ecr.amazonaws.com"
# A parameter with its value in quotes or without, or else the name of a scheme.
_WORD: Final = re.compile(
    r"""([A-Za-z][\w-]*)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))|([A-Za-z][\w-]*)"""
)
# Registries whose tokens come from a host that their own name does not tell.
_KNOWN_REALMS: Final = {
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}
_LEAST_LABELS: Final = 2


@dataclass(frozen=True, slots=True)
class Challenge:
    """One of the ways to prove who is asking; `scheme` and names are in lower case."""

    scheme: str
    parameters: dict[str, str]


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read all challenges of the headers; what cannot be understood is left out."""
    found: list[Challenge] = []
    for header in headers:
        for name, quoted, bare, scheme in _WORD.findall(header):
            if scheme:
                found.append(Challenge(scheme.lower(), {}))
            elif found:
                found[-1].parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) or bare
    return found


def is_bound(realm: Endpoint, registry: Endpoint, trusted: Iterable[str] = ()) -> bool:
    """Tell whether a registry's credentials may go to the realm it names.

    They may go to the registry's own host, to a host below it or above it in the name system
    (who has `example.com` has `registry.example.com` as well), to realms known to belong
    together, and to the `trusted`; never without encryption where the registry has it.
    """
    if registry.scheme == "https" != realm.scheme:
        return False
    ours, theirs = registry.host.lower(), realm.host.lower()
    if theirs == ours or _KNOWN_REALMS.get(ours) == theirs or theirs in trusted:
        return True
    is_address = ours.replace(".", "").isdigit() or ":" in ours
    has_labels = theirs.count(".") + 1 >= _LEAST_LABELS
    return not is_address and (
        theirs.endswith(f".{ours}") or (has_labels and ours.endswith(f".{theirs}"))
    )


def is_ecr(challenges: Iterable[Challenge]) -> bool:
    """Tell whether the challenge is that of ECR, and so of an ecrate."""
    return any(each.parameters.get("service") == ECR_SERVICE for each in challenges)
