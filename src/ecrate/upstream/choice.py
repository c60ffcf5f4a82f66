"""Which upstreams an operator allows beside those that ECR knows, as settings say it.

upstream_hosts      registry.example.com, *.example.org, 10.0.0.5:5000, http://127.0.0.1:5000
upstream_realms     registry.example.com=login.example.com, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ecrate.domain.pull_through import UpstreamUrl

_HOST: Final = re.compile(
    r"(?:(https?)://)?(\*|(?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
)
_REALM: Final = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?=([a-z0-9.-]+)")


def parse_hosts(text: str) -> Callable[[UpstreamUrl], bool]:
    """Give what tells whether a URL is allowed; raises `ValueError`.

    An entry without a scheme means TLS, one without a port any port; `*` stands for any host, at
    the begin of a name for any label or labels in front.
    """
    patterns = []
    for entry in _entries(text):
        match = _HOST.fullmatch(entry)
        if match is None:
            raise ValueError(f"'{entry}' is no host")
        scheme, host, port = match[1] or "https", match[2], match[3]
        name = re.escape(host).replace(r"\*", ".+")
        patterns.append(re.compile(rf"{scheme}://{name}{port or '(:[0-9]+)?'}"))
    return lambda url: any(pattern.fullmatch(url.text) for pattern in patterns)


def parse_realms(text: str) -> dict[str, set[str]]:
    """Give, by registry, the hosts that its login may go to; raises `ValueError`."""
    realms: dict[str, set[str]] = {}
    for entry in _entries(text):
        match = _REALM.fullmatch(entry)
        if match is None:
            raise ValueError(f"'{entry}' is not REGISTRY=REALM")
        realms.setdefault(f"{match[1]}{match[2] or ''}", set()).add(match[3])
    return realms


def _entries(text: str) -> list[str]:
    return [entry for part in text.lower().split(",") if (entry := part.strip())]
