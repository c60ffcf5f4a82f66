"""Every rule of the service model broken, one at a time, by requests made from the model itself.

They are signed, and sent without botocore's own checks, which would keep most of them back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from ecrate.aws.table import OPERATIONS
from tests.support.rules import Violation, violations
from tests.support.server import Server
from tests.support.signing import error_of, sign

Refusal = tuple[int, str, str]

WITHOUT_MEMBERS = {
    "DeleteRegistryPolicy",
    "DescribeRegistry",
    "GetRegistryPolicy",
    "GetRegistryScanningConfiguration",
}


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[httpx.Client]:
    """One connection for all requests."""
    with httpx.Client(base_url=server.endpoint, verify=False, trust_env=False) as client:  # noqa: S501
        yield client


def send(server: Server, connection: httpx.Client, broken: Violation) -> Refusal:
    """Give the refusal; of a value of another type, whose text is ours, without the text."""
    body = json.dumps(broken.members).encode()
    answer = connection.post("/", headers=sign(server, broken.operation, body), content=body)
    status, code, message = error_of(answer)
    return status, code, "" if broken.message is None else message


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - WITHOUT_MEMBERS))
def test_rule_of_the_model_that_is_broken_is_named(
    server: Server, connection: httpx.Client, operation: str
) -> None:
    broken = {one.label: one for one in violations(operation)}

    answers = {label: send(server, connection, one) for label, one in broken.items()}

    assert answers == {label: (400, one.code, one.message or "") for label, one in broken.items()}


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_input_without_members_has_no_rules(operation: str) -> None:
    assert any(violations(operation)) != (operation in WITHOUT_MEMBERS)
