"""Pull through cache rules: which repositories stand for which upstream's, and what they are
called there.

AWS: user guide, "Sync an upstream registry with an Amazon ECR private registry".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidParameter

ROOT: Final = "ROOT"
RULE_PREFIX: Final = "ecr-pullthroughcache/"
# AWS: user guide, "Creating a pull through cache rule"; the host of Chainguard is [A].
_HOSTS: Final[dict[str, str]] = {
    "ecr-public": r"public\.ecr\.aws",
    "k8s": r"registry\.k8s\.io",
    "quay": r"quay\.io",
    "docker-hub": r"registry-1\.docker\.io",
    "azure-container-registry": r"[a-z0-9]+\.azurecr\.io",
    "github-container-registry": r"ghcr\.io",
    "gitlab-container-registry": r"registry\.gitlab\.com",
    "chainguard": r"cgr\.dev",
    "ecr": r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com",
}
_NEED_CREDENTIALS: Final = frozenset(
    {
        "azure-container-registry",
        "chainguard",
        "docker-hub",
        "github-container-registry",
        "gitlab-container-registry",
    }
)
# What clients call a registry whose API has another host.
_NAMES: Final = {"registry-1.docker.io": ("docker.io", "index.docker.io")}
_URL: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>[a-z0-9]+(?:[.-][a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class UpstreamUrl:
    """The address of an upstream registry: a scheme, and a host that may have a port."""

    scheme: str
    host: str

    @classmethod
    def parse(cls, text: str) -> UpstreamUrl:
        """Read `HOST[:PORT]`, with a scheme or without; raises `InvalidParameter`."""
        match = _URL.fullmatch(text.lower())
        if match is None or int(match["port"] or 1) not in range(1, _MAX_PORT + 1):
            raise InvalidParameter(
                "upstreamRegistryUrl", "Member must be a host, with a port or without"
            )  # [A]
        port = f":{match['port']}" if match["port"] else ""
        return cls(match["scheme"] or "https", f"{match['host']}{port}")

    @property
    def kind(self) -> str | None:
        """What ECR calls this registry; None for one that it does not know."""
        if self.scheme != "https":
            return None
        return next((kind for kind, host in _HOSTS.items() if re.fullmatch(host, self.host)), None)

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.host}"


def needs_credentials(kind: str | None) -> bool:
    """Tell whether ECR takes no rule for this registry without a secret."""
    return kind in _NEED_CREDENTIALS


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its registry has it; times are epoch seconds, absent texts None.

    `url` is as it was given; no `upstream_prefix` means `ROOT`. The upstream is left alone until
    `paused_until`, because of `pause`.
    """

    prefix: str
    url: str
    upstream_registry: str | None
    upstream_prefix: str | None
    credential_arn: str | None
    custom_role_arn: str | None
    created_at: float
    updated_at: float
    paused_until: float = 0.0
    pause: str = ""

    def covers(self, name: str) -> bool:
        """Tell whether a repository of this name lies below the prefix, or the prefix is ROOT."""
        return self.prefix == ROOT or name.startswith(_folder(self.prefix))

    def upstream_name(self, name: str) -> str:
        """Give what the upstream calls the repository that is called `name` here."""
        rest = name if self.prefix == ROOT else name.removeprefix(_folder(self.prefix))
        return self._upstream_folder + rest

    def local_name(self, upstream_name: str) -> str | None:
        """Give what the upstream's repository is called here, None if the rule is not for it."""
        folder = self._upstream_folder
        if not upstream_name.startswith(folder):
            return None
        rest = upstream_name.removeprefix(folder)
        return rest if self.prefix == ROOT else _folder(self.prefix) + rest

    @property
    def depth(self) -> int:
        """How much of an upstream's names the rule is for: more is narrower."""
        return len(self._upstream_folder)

    @property
    def _upstream_folder(self) -> str:
        return "" if self.upstream_prefix in {None, ROOT} else _folder(self.upstream_prefix or "")

    def is_for(self, source: str) -> bool:
        """Tell whether clients call the upstream by this host."""
        host = UpstreamUrl.parse(self.url).host
        return source.lower() in {host, *_NAMES.get(host, ())}


def _folder(prefix: str) -> str:
    return prefix.rstrip("/") + "/"


def choose_rule(rules: Iterable[Rule], name: str) -> Rule | None:
    """Give the rule with the longest prefix among those that cover a repository [A]."""
    return max(
        (rule for rule in rules if rule.covers(name)),
        key=lambda rule: 0 if rule.prefix == ROOT else len(rule.prefix),
        default=None,
    )


def find_local_name(rules: Iterable[Rule], source: str, name: str) -> str | None:
    """Give what the repository `name` of the registry that clients call `source` is called here.

    Of several rules, the one with the longest upstream prefix decides. Source: OCI
    distribution-spec, "Registry Proxying".
    """
    found = [
        (rule.depth, local)
        for rule in rules
        if rule.is_for(source) and (local := rule.local_name(name)) is not None
    ]
    return max(found, key=lambda pair: pair[0], default=(0, None))[1]
