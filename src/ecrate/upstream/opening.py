"""Upstreams and secrets as an operator's settings describe them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from ecrate.upstream.addresses import parse_networks
from ecrate.upstream.choice import parse_hosts, parse_realms
from ecrate.upstream.http import Http
from ecrate.upstream.registry import HttpUpstreams
from ecrate.upstream.secrets import SecretFiles, Secrets, SecretVariables


def open_upstreams(
    *, hosts: str, networks: str, realms: str, bundle: str, timeout: float
) -> HttpUpstreams:
    """Give the registries that may be fetched from; nothing is connected yet.

    Raises `ValueError` for a text that is not of its setting's form.
    """
    client = Http(seconds=timeout, networks=parse_networks(networks), bundle=bundle)
    return HttpUpstreams(client, allows=parse_hosts(hosts), realms=parse_realms(realms))


def check_bundle(bundle: str) -> None:
    """Raise `OSError` where there should be certificates and are none."""
    if bundle:
        ssl.create_default_context(cafile=bundle)


def open_secrets(url: str, default: Path, environment: Mapping[str, str]) -> Secrets:
    """Give the place that `file:///PATH` or `env:PREFIX` names, a folder where that is empty."""
    kind, _, place = url.partition(":")
    if kind == "env":
        return SecretVariables(place, environment)
    return SecretFiles(Path(place.removeprefix("//")) if place else default)
