"""Conditions on where a request comes from, which hold at both doors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.images import make_image
from tests.support.policies import deny, policy
from tests.support.registry import error_of, push_image
from tests.support.server import Server

READING = ("ecr:BatchGetImage", "ecr:DescribeImages", "ecr:ListImages")


def deny_reading(server: Server, repository: str, condition: dict[str, Any]) -> None:
    statement = deny(*READING, Principal="*", Condition=condition)
    server.ecr().set_repository_policy(repositoryName=repository, policyText=policy(statement))


def code_of_describing(server: Server, repository: str) -> str:
    """Give the error of the AWS door's answer, empty where the root user may look."""
    try:
        server.ecr().describe_images(repositoryName=repository)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


@pytest.fixture
def pushed(http: httpx.Client, repository: str) -> str:
    """A repository with an image `latest`."""
    push_image(http, repository, make_image(), "latest")
    return repository


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        pytest.param({"IpAddress": {"aws:SourceIp": "127.0.0.1"}}, False, id="this-address"),
        pytest.param({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True, id="other-addresses"),
        pytest.param({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True, id="not-elsewhere"),
        pytest.param({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False, id="only-there"),
        pytest.param({"Bool": {"aws:SecureTransport": "false"}}, False, id="plain"),
        pytest.param({"Bool": {"aws:SecureTransport": "true"}}, True, id="secure"),
        pytest.param({"StringLike": {"aws:UserAgent": "*o*"}}, False, id="agents"),
        pytest.param({"StringLike": {"aws:UserAgent": "curl/*"}}, True, id="other-agents"),
    ],
)
def test_condition_on_the_source_holds_at_both_doors(
    server: Server, pushed: str, condition: dict[str, Any], *, is_allowed: bool
) -> None:
    deny_reading(server, pushed, condition)
    with server.http() as http:
        http.headers["User-Agent"] = "docker/28"

        answers = [http.get(f"/v2/{pushed}/{path}") for path in ("manifests/latest", "tags/list")]

    status, code = (200, "") if is_allowed else (403, "AccessDeniedException")
    assert [answer.status_code for answer in answers] == [status] * 2
    assert code_of_describing(server, pushed) == code


def test_source_is_that_of_each_connection(server: Server, pushed: str) -> None:
    deny_reading(server, pushed, {"IpAddress": {"aws:SourceIp": "127.0.0.9"}})
    login = (server.key_id, server.secret)
    url = f"{server.endpoint}/v2/{pushed}/manifests/latest"

    statuses = []
    for address in ("127.0.0.8", "127.0.0.9"):
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as http:
            statuses.append(http.get(url, auth=login).status_code)

    assert statuses == [200, 403]


def test_agent_that_is_no_text_is_an_agent(server: Server, pushed: str) -> None:
    deny_reading(server, pushed, {"StringNotLike": {"aws:UserAgent": "docker/*"}})
    with server.http() as http:
        http.headers["User-Agent"] = b"\xff\xfe".decode("latin-1")

        answer = http.get(f"/v2/{pushed}/manifests/latest")

    assert error_of(answer)[:2] == (403, "DENIED")
