from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from tests.cli.strict_service import StrictService

_CALL = ("ecr", "describe-registry")


@pytest.mark.parametrize(
    ("fault", "calls", "code", "text"),
    [
        pytest.param((500, "ServerException"), 3, 254, "(reached max retries: 2)", id="fault"),
        pytest.param((400, "ThrottlingException"), 3, 254, "(reached max retries: 2)", id="limit"),
        pytest.param(
            (400, "com.amazonaws.ecr#InvalidParameterException"),
            1,
            254,
            "An error occurred (InvalidParameterException) when calling the DescribeRegistry "
            "operation: told to",
            id="refusal",
        ),
    ],
)
def test_call_is_repeated_where_that_may_help(
    run_strict: Run,
    service: StrictService,
    *,
    fault: tuple[int, str],
    calls: int,
    code: int,
    text: str,
) -> None:
    service.faults = [fault] * 5

    ran = run_strict(*_CALL)

    assert (ran.code, len(service.calls)) == (code, calls)
    assert text in ran.err


@pytest.mark.parametrize(
    ("attempts", "calls", "text"),
    [
        pytest.param("1", 1, "told to", id="one"),
        pytest.param("4", 4, "(reached max retries: 3)", id="four"),
        pytest.param("none", 0, "AWS_MAX_ATTEMPTS", id="no number"),
    ],
)
def test_the_environment_says_how_often_a_call_is_tried(
    run_strict: Run,
    service: StrictService,
    monkeypatch: pytest.MonkeyPatch,
    *,
    attempts: str,
    calls: int,
    text: str,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", attempts)
    service.faults = [(500, "ServerException")] * 5

    ran = run_strict(*_CALL)

    assert (ran.code != 0, len(service.calls)) == (True, calls)
    assert text in ran.err


def test_call_succeeds_after_a_fault(run_strict: Run, service: StrictService) -> None:
    service.faults = [(500, "ServerException"), (503, "")]

    ran = run_strict(*_CALL)

    assert (ran.code, ran.err, len(service.calls)) == (0, "", 3)


def test_debug_tells_of_the_traffic(run_strict: Run) -> None:
    ran = run_strict(*_CALL, "--debug")

    assert "DescribeRegistry http://127.0.0.1:" in ran.err


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param("http://127.0.0.1:1/path", "has a path", id="path"),
        pytest.param("http://:1", "is no address", id="no host"),
        pytest.param("http://host:port", "is no address", id="no port"),
        pytest.param("http://127.0.0.1:9", "Is the server running", id="nobody there"),
    ],
)
def test_endpoints_that_are_none(run_strict: Run, url: str, text: str) -> None:
    ran = run_strict(*_CALL, "--endpoint-url", url)

    assert ran.code == 255
    assert text in ran.err
