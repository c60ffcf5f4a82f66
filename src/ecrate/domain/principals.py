"""Who is calling."""

from __future__ import annotations

import re
from typing import Final

from ecrate.domain.names import RegistryRef
from ecrate.domain.values import value

NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


@value
class Caller:
    """An authenticated principal in the region it addressed.

    `arn` is what policies and error texts name, for a role's session that of the session;
    `access_key_id` is the key that signed; `principal_id` is 0 where no row stands behind the
    caller (development mode, and whoever has no name). `session_policy` narrows a session.
    """

    arn: str
    access_key_id: str
    registry: RegistryRef
    principal_id: int = 0
    is_root: bool = False
    is_anonymous: bool = False
    role_arn: str = ""
    session_policy: str = ""
    source: Source | None = None

    def coming_from(self, source: Source) -> Caller:
        """Give the same caller at a place; written out, since `replace` takes five times as long
        and each request comes from somewhere.
        """
        return Caller(
            self.arn,
            self.access_key_id,
            self.registry,
            self.principal_id,
            self.is_root,
            self.is_anonymous,
            self.role_arn,
            self.session_policy,
            source,
        )


@value
class Source:
    """Where a request came from, for the conditions of policies."""

    address: str = ""
    user_agent: str = ""
    is_secure: bool = False


def anonymous(registry: RegistryRef) -> Caller:
    """Give the caller who has no name."""
    return Caller("anonymous", "", registry, is_anonymous=True)


@value
class PrincipalRecord:
    """A principal that exists; `kind` is root, user or role."""

    id: int
    registry_id: str
    kind: str
    name: str
    arn: str
    trust_policy: str | None = None
