"""What Terraform's AWS provider does with ECR, resource by resource, against a running server.

The sequences of calls are those of hashicorp/terraform-provider-aws (tests/support/terraform.py has
files and commits): create and read back, update, see what somebody else changed or deleted, delete,
delete what is gone. Each test has an account of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.server import REGION, SESSION, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

_ACCOUNTS = itertools.count(400_000_000_000)


@pytest.fixture(scope="session")
def dev_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes an access key of 12 digits for an account."""
    with running_server(tmp_path_factory.mktemp("terraform") / "data", "--dev") as running:
        yield running


@pytest.fixture
def account() -> str:
    """An account that has nothing yet."""
    return str(next(_ACCOUNTS))


@pytest.fixture
def connect(dev_server: Server, account: str) -> Callable[[str], Any]:
    """Make boto3 clients by service."""

    def make(service: str) -> Any:
        return SESSION.client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=dev_server.endpoint,
            aws_access_key_id=account,
            aws_secret_access_key="mock",
        )

    return make


@pytest.fixture
def ecr(connect: Callable[[str], Any]) -> ECRClient:
    client: ECRClient = connect("ecr")
    return client
