"""Every error that the service model has for a built operation, provoked over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ecrate.aws.errors import CODES
from ecrate.aws.model import Shape, service_model
from ecrate.aws.table import OPERATIONS
from ecrate.domain.errors import EcrateError
from tests.support.door import Account
from tests.support.policies import allow, policy
from tests.support.principals import make_user
from tests.support.provoked import (
    CANNOT_FAIL,
    CANNOT_OCCUR,
    CAUGHT,
    COMMON,
    FAILED,
    PROVOKED,
    SERVER,
    reason_why_not,
)
from tests.support.reachable import errors_named_below
from tests.support.rules import sample
from tests.support.server import Server
from tests.support.signing import call, error_of, post, sign

ROOT = Path(__file__).parents[2]
MODEL = service_model()
DECLARED = {(name, code) for name in OPERATIONS for code in MODEL.operations[name].errors}
# AWS: Service Authorization Reference of ECR; it has no action of its own for this one.
ACTIONS = {"ListImageReferrers": "BatchGetImage"}
POSSIBLE_FAILURES = {
    **dict.fromkeys(["BatchGetImage", "BatchDeleteImage"], "ImageFailureCode"),
    "BatchCheckLayerAvailability": "LayerFailureCode",
    "BatchGetRepositoryScanningConfiguration": "ScanningConfigurationFailureCode",
}


@pytest.mark.parametrize(
    ("operation", "code"),
    [pytest.param(*pair, id="-".join(pair)) for pair in sorted(PROVOKED)],
)
def test_error_of_the_model_is_raised(account: Account, operation: str, code: str) -> None:
    members = PROVOKED[operation, code](account)

    status, raised, message = account.refuse(operation, **members)

    assert (status, raised) == (500 if code == SERVER else 400, code)
    assert message


@pytest.mark.parametrize(
    ("operation", "code"),
    [pytest.param(*pair, id="-".join(pair)) for pair in sorted(FAILED)],
)
def test_failure_of_the_model_is_answered(account: Account, operation: str, code: str) -> None:
    members = FAILED[operation, code](account)

    answer = account.call(operation, **members)

    assert [one["failureCode"] for one in answer["failures"]] == [code]
    assert answer["failures"][0]["failureReason"]
    assert answer.keys() <= MODEL.operations[operation].output.members.keys()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_errors_of_the_model_are_provoked_or_cannot_occur(name: str) -> None:
    possible = {code for operation, code in PROVOKED if operation == name}

    impossible = {
        code
        for code in MODEL.operations[name].errors
        if reason_why_not(CANNOT_OCCUR, name, code) is not None
    }

    assert possible | impossible == set(MODEL.operations[name].errors)
    assert not possible & impossible


@pytest.mark.parametrize("name", sorted(POSSIBLE_FAILURES))
def test_failures_of_the_model_are_provoked_or_cannot_occur(name: str) -> None:
    enum = set(MODEL.shapes[POSSIBLE_FAILURES[name]].enum)
    possible = {code for operation, code in FAILED if operation == name}

    impossible = {code for code in enum if reason_why_not(CANNOT_FAIL, name, code) is not None}

    assert possible | impossible == enum
    assert not possible & impossible


def test_failures_are_those_of_all_operations_that_have_some() -> None:
    found = {name: _failure_code(MODEL.operations[name].output) for name in OPERATIONS}

    assert {name: code for name, code in found.items() if code} == POSSIBLE_FAILURES


def _failure_code(output: Shape) -> str:
    failures = output.members.get("failures")
    element = None if failures is None else failures.element
    return "" if element is None else element.members["failureCode"].name


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_error_that_cannot_occur_is_raised_nowhere(name: str) -> None:
    raised = {_code(kind) for kind in errors_named_below(OPERATIONS[name].handler)}

    assert not [
        code
        for code in raised
        if reason_why_not(CANNOT_OCCUR, name, code) and (name, code) not in CAUGHT
    ]


def _code(kind: type[EcrateError]) -> str:
    return CODES.get(kind, "")


@pytest.mark.parametrize("reasons", [CANNOT_OCCUR, CANNOT_FAIL], ids=["errors", "failures"])
def test_reason_is_of_an_error_that_is_declared(reasons: dict[tuple[str, str], str]) -> None:
    failures = {
        (name, code)
        for name, shape in POSSIBLE_FAILURES.items()
        for code in MODEL.shapes[shape].enum
    }
    known = DECLARED | failures | {("*", code) for _, code in DECLARED | failures}

    assert reasons.keys() <= known


# What the door itself answers, whatever the operation.
FRONT_DOOR: dict[str, Callable[[Server], httpx.Response]] = {
    "IncompleteSignatureException": lambda server: post(
        server, sign(server, "ListImages") | {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA"}
    ),
    "InvalidSignatureException": lambda server: post(
        server, sign(server, "ListImages", secret="another")
    ),
    "MissingAuthenticationTokenException": lambda server: post(
        server, {"X-Amz-Target": "ListImages"}
    ),
    "RequestEntityTooLargeException": lambda server: call(server, "ListImages", b" " * 300_000),
    "SerializationException": lambda server: call(server, "ListImages", b"["),
    "UnknownOperationException": lambda server: call(server, "ListNothing"),
    "UnrecognizedClientException": lambda server: post(
        server, sign(server, "ListImages", key_id="AKIAIOSFODNN7EXAMPLE")
    ),
}
# What takes more than a request, and where it is shown.
ELSEWHERE = {
    "AccessDeniedException": "tests/aws/test_policies.py",
    "ExpiredTokenException": "tests/aws/test_times.py",
    "MalformedPolicyDocument": "tests/aws/test_sts.py",
    "ThrottlingException": "tests/test_rate_limits.py",
}


@pytest.mark.parametrize("code", sorted(FRONT_DOOR))
def test_error_of_the_door_is_raised(server: Server, code: str) -> None:
    answer = FRONT_DOOR[code](server)

    status, raised, message = error_of(answer)
    assert (status, raised) == (413 if code.startswith("RequestEntity") else 400, code)
    assert message


def test_errors_of_the_door_are_those_common_to_all_services() -> None:
    elsewhere = {code for code, path in ELSEWHERE.items() if code in (ROOT / path).read_text()}

    assert FRONT_DOOR.keys() | elsewhere == COMMON


@pytest.fixture(scope="module")
def nobody(server: Server) -> Server:
    """The server as a user sees it whom nothing allows any operation of ECR."""
    return make_user(server, "allowed-nothing", policy(allow("sts:*", Resource="*")))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operation_is_denied_to_whom_nothing_allows_it(nobody: Server, name: str) -> None:
    action = ACTIONS.get(name, name)

    answer = call(nobody, name, json.dumps(sample(name)).encode())

    status, code, message = error_of(answer)
    assert (status, code) == (400, "AccessDeniedException")
    assert f":user/allowed-nothing is not authorized to perform: ecr:{action} on " in message
