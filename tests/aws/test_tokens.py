"""GetAuthorizationToken, and what its token opens."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.server import ACCOUNT, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient


def password_of(ecr: ECRClient) -> str:
    data = ecr.get_authorization_token()["authorizationData"][0]
    return b64decode(data["authorizationToken"]).decode().partition(":")[2]


def test_get_authorization_token_gives_user_and_password(ecr: ECRClient) -> None:
    (data,) = ecr.get_authorization_token()["authorizationData"]

    user, colon, password = b64decode(data["authorizationToken"]).decode().partition(":")

    assert (user, colon) == ("AWS", ":")
    assert ":" not in password
    assert password.split() == [password]


def test_get_authorization_token_lasts_twelve_hours(ecr: ECRClient) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    (data,) = ecr.get_authorization_token()["authorizationData"]

    after = datetime.now(UTC) + timedelta(seconds=1)
    assert before <= data["expiresAt"] - timedelta(hours=12) <= after


def test_get_authorization_token_names_the_host_that_was_called(
    server: Server, ecr: ECRClient
) -> None:
    (data,) = ecr.get_authorization_token()["authorizationData"]

    assert data["proxyEndpoint"] == f"http://{server.host}"


def test_get_authorization_token_answers_for_each_registry_in_order(
    server: Server, ecr: ECRClient
) -> None:
    ids = ["210987654321", ACCOUNT, "123456789012"]

    data = ecr.get_authorization_token(registryIds=ids)["authorizationData"]

    assert [one["proxyEndpoint"] for one in data] == [
        f"http://210987654321.dkr.ecr.us-east-1.localhost:{server.port}",
        f"http://{server.host}",
        f"http://123456789012.dkr.ecr.us-east-1.localhost:{server.port}",
    ]
    assert len({one["authorizationToken"] for one in data}) == 1


def test_get_authorization_token_refuses_eleven_registries(ecr: ECRClient) -> None:
    ids = [f"{number:012}" for number in range(11)]

    with pytest.raises(ClientError, match="length less than or equal to 10"):
        ecr.get_authorization_token(registryIds=ids)


def test_token_opens_the_registry_door(server: Server, ecr: ECRClient) -> None:
    password = password_of(ecr)

    answer = httpx.get(f"{server.endpoint}/v2/", auth=("AWS", password))

    assert answer.status_code == 200


def test_token_of_another_region_does_not_open_this_regions_host(server: Server) -> None:
    password = password_of(server.ecr(region="eu-west-1"))
    host = f"{ACCOUNT}.dkr.ecr.us-east-1.localhost:{server.port}"

    answer = httpx.get(f"{server.endpoint}/v2/", auth=("AWS", password), headers={"Host": host})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "position", [pytest.param(0, id="payload"), pytest.param(-1, id="signature")]
)
def test_token_that_was_changed_is_refused(server: Server, ecr: ECRClient, position: int) -> None:
    characters = list(password_of(ecr))
    characters[position] = "A" if characters[position] != "A" else "B"

    answer = httpx.get(f"{server.endpoint}/v2/", auth=("AWS", "".join(characters)))

    assert answer.status_code == 403
