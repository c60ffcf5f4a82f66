"""Names of images on the command line: `[HOST/]REPOSITORY[:TAG][@DIGEST]`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.profile import DEFAULT_ENDPOINT, Profile

_NAME: Final = re.compile(
    r"(?:(?P<host>[^/@]*[.:][^/@]*|localhost)/)?"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]*))?(?:@(?P<digest>.*))?"
)
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"[a-z0-9]+:[a-fA-F0-9]{32,}")
_REGISTRY: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?P<rest>[^:]+)(?::\d+)?"
)
_AWS: Final = ("amazonaws.com", "amazonaws.com.cn")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in its parts; what was not given is None."""

    text: str
    host: str | None
    repository: str
    tag: str | None
    digest: str | None

    @property
    def registry_id(self) -> str | None:
        """The account a host of the form ACCOUNT.dkr.ecr.REGION.… names."""
        match = _REGISTRY.fullmatch(self.host or "")
        return match["account"] if match else None

    @property
    def region(self) -> str | None:
        match = _REGISTRY.fullmatch(self.host or "")
        return match["region"] if match else None

    def members(self) -> dict[str, str]:
        """Give the members that name the repository in a call."""
        members = {"repositoryName": self.repository}
        return members | ({"registryId": self.registry_id} if self.registry_id else {})


def parse_reference(text: str) -> Reference:
    """Take a name apart; raises `CommandError`."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise CommandError(f"'{text}' is no name of an image, such as app:1.0", BAD_COMMAND)
    tag, digest = match["tag"], match["digest"]
    if tag is not None and not is_tag(tag):
        raise CommandError(f"'{tag}' in '{text}' is no tag", BAD_COMMAND)
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise CommandError(f"'{digest}' in '{text}' is no digest", BAD_COMMAND)
    return Reference(text, match["host"], match["repository"], tag, digest)


def is_tag(text: str) -> bool:
    """Tell whether this can be a tag."""
    return _TAG.fullmatch(text) is not None


def endpoint_of(reference: Reference, profile: Profile) -> str | None:
    """Give the address of ECR's API for a name that tells it: None for any other registry."""
    host = reference.host
    configured = profile.configured_endpoint()
    if host is None:
        return configured or DEFAULT_ENDPOINT
    match = _REGISTRY.fullmatch(host)
    if match and match["rest"] in _AWS:
        # Someone who set an endpoint has a registry of their own behind Amazon's names.
        return configured or f"https://api.ecr.{match['region']}.{match['rest']}"
    if urlsplit(configured or DEFAULT_ENDPOINT).netloc == host:
        return configured or DEFAULT_ENDPOINT
    if match:
        return f"{'http' if is_local(host) else 'https'}://{host}"
    return None


def is_local(host: str) -> bool:
    """Tell whether the host is this machine, where docker, too, expects no TLS."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
