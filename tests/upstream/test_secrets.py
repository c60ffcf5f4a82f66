"""Secrets: the contract of both places for them, and what is no login."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.names import RegistryRef
from ecrate.domain.upstream_errors import (
    SecretNotFound,
    UnableToAccessSecret,
    UnableToDecryptSecretValue,
)
from ecrate.upstream.logins import Login
from ecrate.upstream.secrets import SecretFiles, Secrets, SecretVariables, find_login
from tests.support.upstream import arn_of, put_secret

ACCOUNT = "123456789012"
REGISTRY = RegistryRef(ACCOUNT, "us-east-1")
PREFIX = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecr-pullthroughcache"
VALUE = {"username": "me", "accessToken": "a:b"}
MakeSecrets = Callable[[object], Secrets]


@pytest.fixture(params=["files", "variables"])
def make_secrets(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSecrets:
    """Make a place with one secret, `docker-hub`."""

    def make(value: object) -> Secrets:
        if request.param == "files":
            put_secret(tmp_path, ACCOUNT, "docker-hub", value)
            return SecretFiles(tmp_path)
        text = value if isinstance(value, str) else json.dumps(value)
        return SecretVariables("MY_", {"MY_123456789012_US_EAST_1_DOCKER_HUB": text})

    return make


@pytest.mark.parametrize("name", ["docker-hub", "docker-hub-AbCdEf"])
def test_secret_is_found_by_name_and_as_its_arn_ends(make_secrets: MakeSecrets, name: str) -> None:
    assert find_login(make_secrets(VALUE), REGISTRY, f"{PREFIX}/{name}") == Login("me", "a:b")


@pytest.mark.parametrize("name", ["docker", "docker-hub-AbCd", "docker-hub/x", "x/docker-hub"])
def test_secret_that_is_not_there_is_not_found(make_secrets: MakeSecrets, name: str) -> None:
    with pytest.raises(SecretNotFound):
        find_login(make_secrets(VALUE), REGISTRY, f"{PREFIX}/{name}")


@pytest.mark.parametrize(
    "registry", [RegistryRef("999999999999", "us-east-1"), RegistryRef(ACCOUNT, "eu-west-1")]
)
def test_secret_of_another_registry_is_refused(
    make_secrets: MakeSecrets, registry: RegistryRef
) -> None:
    with pytest.raises(UnableToAccessSecret):
        find_login(make_secrets(VALUE), registry, arn_of(ACCOUNT, "docker-hub"))


@pytest.mark.parametrize(
    "value",
    ["", "no JSON", "[" * 100_000, [], {}, {"username": "me"}, {**VALUE, "accessToken": 5},
     {**VALUE, "username": ""}],
    ids=lambda value: str(value)[:20] or "empty",
)  # fmt: skip
def test_secret_that_is_no_login_is_refused(make_secrets: MakeSecrets, value: Any) -> None:
    with pytest.raises(UnableToDecryptSecretValue):
        find_login(make_secrets(value), REGISTRY, arn_of(ACCOUNT, "docker-hub"))


@pytest.mark.parametrize("name", ["../docker-hub", "a/../../x", "./docker-hub", "/docker-hub"])
def test_file_outside_the_folder_is_not_found(tmp_path: Path, name: str) -> None:
    put_secret(tmp_path, ACCOUNT, "docker-hub", VALUE)

    with pytest.raises(SecretNotFound):
        find_login(SecretFiles(tmp_path), REGISTRY, f"{PREFIX}/{name}")


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    put_secret(tmp_path, ACCOUNT, "docker-hub", VALUE)
    (tmp_path / ACCOUNT / "us-east-1" / "ecr-pullthroughcache" / "loop").symlink_to("loop")

    with pytest.raises(UnableToAccessSecret, match="too many levels of symbolic links"):
        find_login(SecretFiles(tmp_path), REGISTRY, f"{PREFIX}/loop")


def test_secret_is_not_shown() -> None:
    assert "a:b" not in repr(Login("me", "a:b"))
