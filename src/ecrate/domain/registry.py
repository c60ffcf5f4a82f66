"""A registry's settings: account settings and pull time update exclusions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.names import RegistryRef
from ecrate.domain.replication import ReplicationRule

BLOB_MOUNTING: Final = "BLOB_MOUNTING"
# The values each setting may have, the one it has at first in front.
# AWS: API reference of PutAccountSetting.
ACCOUNT_SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "BASIC_SCAN_TYPE_VERSION": ("AWS_NATIVE",),
    BLOB_MOUNTING: ("DISABLED", "ENABLED"),
    "REGISTRY_POLICY_SCOPE": ("V2",),
}
_SESSION: Final = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+")
_ROLE: Final = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:.+/)?([^/]+)")


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry as DescribeRegistry shows it."""

    ref: RegistryRef
    replication_rules: Sequence[ReplicationRule]


@dataclass(frozen=True, slots=True)
class PullTimeExclusion:
    """A principal whose pulls are not recorded; `created_at` is epoch seconds."""

    principal_arn: str
    created_at: float


def check_account_setting(name: str, value: str | None = None) -> None:
    """Raise `InvalidParameter` unless there is such a setting and it may have this value."""
    values = ACCOUNT_SETTINGS.get(name)
    if values is None:
        _refuse("name", ACCOUNT_SETTINGS)
    elif value is not None and value not in values:
        _refuse("value", values)


def _refuse(member: str, allowed: Iterable[str]) -> None:
    listed = ", ".join(sorted(allowed))
    raise InvalidParameter(member, f"Member must satisfy enum value set: [{listed}]")  # [A]


def covers_principal(excluded_arn: str, principal_arn: str) -> bool:
    """Tell whether an exclusion holds for a principal: the very one, or a session of the role.

    A session's ARN has its role's name without the path.
    """
    if excluded_arn == principal_arn:
        return True
    session, role = _SESSION.fullmatch(principal_arn), _ROLE.fullmatch(excluded_arn)
    return session is not None and role is not None and session.groups() == role.groups()
