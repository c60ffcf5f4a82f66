"""Logins for upstreams, where ECR has AWS Secrets Manager: files, or environment variables.

A secret is named by an ARN, whose account and region have to be those of the rule's registry, and
holds `{"username": "...", "accessToken": "..."}`.

    DIRECTORY/ACCOUNT/REGION/ecr-pullthroughcache/NAME     a file
    PREFIX + ACCOUNT_REGION_NAME                           a variable, in capitals, with `_` for
                                                           whatever is neither letter nor digit

AWS: user guide, "Storing your upstream repository credentials in an AWS Secrets Manager secret".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from ecrate.domain.names import RegistryRef
from ecrate.domain.pull_through import RULE_PREFIX
from ecrate.domain.upstream_errors import (
    SecretNotFound,
    UnableToAccessSecret,
    UnableToDecryptSecretValue,
)
from ecrate.upstream.logins import Login

_ARN: Final = re.compile(r"arn:[^:]+:secretsmanager:([^:]+):([^:]+):secret:(.+)")
# What Secrets Manager puts behind a secret's name in its ARN.
_SUFFIX: Final = re.compile(r"-[a-zA-Z0-9]{6}")
_LARGEST: Final = 65536  # AWS: quota of Secrets Manager


class Secrets(Protocol):
    """A place for secrets."""

    def read(self, registry: RegistryRef, name: str) -> bytes:
        """Give a secret's value by its name, which begins with `ecr-pullthroughcache/`.

        Raises `KeyError` where there is none, `OSError` where it cannot be read.
        """


class SecretFiles:
    """Secrets as files below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, registry: RegistryRef, name: str) -> bytes:
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise KeyError(name)
        path = self._directory.joinpath(registry.id, registry.region, *parts)
        try:
            with path.open("rb") as file:
                return file.read(_LARGEST)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(name) from None


class SecretVariables:
    """Secrets as environment variables whose names begin with a prefix."""

    def __init__(self, prefix: str, environment: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._environment = environment

    def read(self, registry: RegistryRef, name: str) -> bytes:
        told = f"{registry.id}_{registry.region}_{name.removeprefix(RULE_PREFIX)}"
        variable = self._prefix + re.sub(r"[^A-Z0-9]", "_", told.upper())
        return self._environment[variable].encode(errors="surrogateescape")


def find_login(secrets: Secrets, registry: RegistryRef, arn: str) -> Login:
    """Give the login that a secret of the registry holds; raises as `read_secret` does, and
    `UnableToDecryptSecretValue` for one that holds none.
    """
    return _login(arn, read_secret(secrets, registry, arn))


def read_secret(secrets: Secrets, registry: RegistryRef, arn: str) -> str:
    """Give the text of a secret of the registry, whatever it is.

    Raises `SecretNotFound`, `UnableToAccessSecret`, `UnableToDecryptSecretValue`.
    """
    match = _ARN.fullmatch(arn)
    if match is None:
        raise SecretNotFound(arn)
    region, account, name = match.groups()
    if (account, region) != (registry.id, registry.region):
        raise UnableToAccessSecret(arn, "it is not of this account and region")
    try:
        content = _read(secrets, registry, name)
    except KeyError:
        raise SecretNotFound(arn) from None
    except OSError as error:
        raise UnableToAccessSecret(arn, (error.strerror or "it cannot be read").lower()) from None
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UnableToDecryptSecretValue(arn, "it is no text") from None


def _read(secrets: Secrets, registry: RegistryRef, name: str) -> bytes:
    try:
        return secrets.read(registry, name)
    except KeyError:
        if _SUFFIX.fullmatch(name[-7:]) is None:
            raise
        return secrets.read(registry, name[:-7])


def _login(arn: str, content: str) -> Login:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnableToDecryptSecretValue(arn, "it is no JSON object")
    user, token = document.get("username"), document.get("accessToken")
    if not isinstance(user, str) or not isinstance(token, str) or not user or not token:
        raise UnableToDecryptSecretValue(arn, "it has no 'username' and 'accessToken'")
    return Login(user, token)
