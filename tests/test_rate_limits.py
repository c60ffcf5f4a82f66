"""Rate limits at both doors, and over all workers of a server."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from botocore.exceptions import ClientError

from ecrate.domain.rates import RATES
from ecrate.drivers import make_rates
from ecrate.settings import load_settings
from tests.support.registry import error_of
from tests.support.server import Server, running_server
from tests.support.wire import basic
from tests.support.workers import a_wire_to_each_worker

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

RATE = 2
TRIES = 40

T = TypeVar("T")
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def limited() -> Iterator[Server]:
    """A server of two workers with a low rate of uploads."""
    rates = {"ECRATE_RATE_LIMITS": f"InitiateLayerUpload={RATE}"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--dev", "--workers", "2", env=rates) as running,
    ):
        yield running


@pytest.fixture
def account(limited: Server) -> Server:
    """The server as an account sees it that no other test has, with the repository `one`."""
    mine = Server(limited.process, limited.port, limited.data, f"{next(_NUMBERS):012}", "any")
    mine.ecr().create_repository(repositoryName="one")
    return mine


def initiate(client: ECRClient) -> str:
    """Begin an upload at the AWS door; give status and error, or OK."""
    try:
        client.initiate_layer_upload(repositoryName="one")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return f"{status} {error.response['Error']['Code']}: {error.response['Error']['Message']}"
    return "OK"


def first_other(expected: T, call: Callable[[], T]) -> T:
    """Call until something else comes than what is expected."""
    return next(answer for answer in (call() for _ in range(1000)) if answer != expected)


def test_call_beyond_the_rate_is_throttled_at_the_aws_door(account: Server) -> None:
    client = account.ecr()

    answer = first_other("OK", lambda: initiate(client))

    assert answer == "400 ThrottlingException: Rate exceeded"


def test_call_beyond_the_rate_is_throttled_at_the_registry_door(account: Server) -> None:
    with account.http() as http:
        path = "/v2/one/blobs/uploads/"
        first_other(202, lambda: http.post(path).status_code)
        answers = [http.post(path) for _ in range(TRIES)]

    refused = [answer for answer in answers if answer.is_error]
    assert {error_of(answer) for answer in refused} == {(429, "TOOMANYREQUESTS", "Rate exceeded")}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}


def test_doors_and_workers_take_from_one_bucket(account: Server) -> None:
    login = {"Authorization": basic(account.key_id, "any")}
    client = account.ecr()
    begun = time.monotonic()
    with a_wire_to_each_worker(account) as wires:
        accepted = 0
        for number in range(TRIES):
            answer = wires[number % 2].ask(
                "POST", "/v2/one/blobs/uploads/", {**login, "Content-Length": 0}
            )
            accepted += answer.status == 202
            try:
                client.initiate_layer_upload(repositoryName="one")
            except ClientError:
                continue
            accepted += 1
        seconds = time.monotonic() - begun

    assert RATE <= accepted <= RATE * (1 + seconds) + 1


def test_sdk_that_tries_again_gets_through(account: Server) -> None:
    client = account.ecr(attempts=10)

    answers = [client.initiate_layer_upload(repositoryName="one") for _ in range(RATE + 2)]

    assert len({answer["uploadId"] for answer in answers}) == RATE + 2


def test_other_accounts_regions_and_operations_are_not_held_up(account: Server) -> None:
    here, elsewhere = account.ecr(), account.ecr(region="eu-west-1")
    elsewhere.create_repository(repositoryName="one")

    first_other("OK", lambda: initiate(here))

    assert initiate(elsewhere) == "OK"
    assert len(here.describe_repositories()["repositories"]) == 1


def test_limits_are_off_unless_they_are_asked_for() -> None:
    assert make_rates(load_settings({}, {}, None)) is None
    assert make_rates(load_settings({"parity": "ecr", "rate_limits": "off"}, {}, None)) is None


@pytest.mark.parametrize("setting", ["parity", "rate_limits"])
def test_limits_are_ecrs_with_parity_or_by_themselves(setting: str) -> None:
    rates = make_rates(load_settings({setting: "ecr"}, {}, None))

    assert rates is not None
    assert rates.rates == RATES
    rates.close()
