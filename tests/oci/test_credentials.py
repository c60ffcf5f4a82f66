"""Logging in: the challenge, tokens and access keys."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from ecrate.operations.seals import Seals
from tests.support.images import make_image
from tests.support.registry import error_of, push_image, token_of
from tests.support.server import ACCOUNT, Server
from tests.support.wire import Wire, basic

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

INVALID = (403, "DENIED", "Your Authorization Token is invalid.")
EXPIRED = (
    403,
    "DENIED",
    "Your authorization token has expired. Reauthenticate and try again.",
)


def base(server: Server, authorization: str, host: str = "") -> httpx.Response:
    """Ask whether these credentials are good, at this host."""
    headers = {"Authorization": authorization, "Host": host or server.host}
    return httpx.get(f"{server.endpoint}/v2/", headers=headers)


def registry_host(server: Server, account: str = ACCOUNT, region: str = "us-east-1") -> str:
    return f"{account}.dkr.ecr.{region}.localhost:{server.port}"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v2/", id="base"),
        pytest.param("/v2/_catalog", id="catalog"),
        pytest.param("/v2/some/where/manifests/latest", id="manifest"),
        pytest.param("/v2/UPPER/manifests/latest", id="bad-name"),
        pytest.param("/v2/no/such/route", id="no-route"),
    ],
)
def test_request_without_credentials_is_challenged(server: Server, path: str) -> None:
    answer = httpx.get(server.endpoint + path)

    assert answer.status_code == 401
    expected = f'Basic realm="{server.endpoint}/",service="ecr.amazonaws.com"'
    assert answer.headers["WWW-Authenticate"] == expected
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == "Not Authorized\n"


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("", id="empty"),
        pytest.param("Basic", id="no-value"),
        pytest.param("Basic !!!", id="not-base64"),
        pytest.param("Basic \udcc3\udca9", id="not-ascii"),
        pytest.param("Basic " + b64encode(b"\xff\xfe:x").decode(), id="not-utf8"),
        pytest.param("Basic " + b64encode(b"no colon").decode(), id="no-colon"),
        pytest.param(basic("", ""), id="nobody"),
        pytest.param(basic("\x00", "\x00"), id="nul"),
        pytest.param("Digest username=x", id="other-scheme"),
    ],
)
def test_malformed_credentials_are_challenged(server: Server, authorization: str) -> None:
    with Wire(server) as wire:
        answer = wire.ask("GET", "/v2/", {"Authorization": authorization})

    assert answer.status == 401
    assert answer.body == b"Not Authorized\n"


def test_login_with_a_token(server: Server) -> None:
    answer = base(server, basic("AWS", token_of(server)))

    assert answer.status_code == 200
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {}


def test_login_with_an_access_key(server: Server) -> None:
    answer = base(server, basic(server.key_id, server.secret))

    assert answer.status_code == 200


def test_login_takes_any_spelling_of_the_scheme(server: Server) -> None:
    answer = base(server, basic(server.key_id, server.secret).replace("Basic", "bAsIc"))

    assert answer.status_code == 200


def test_login_refuses_a_wrong_user(server: Server) -> None:
    token = token_of(server)

    answers = [base(server, basic(user, token)) for user in ("aws", "AWS ", "root", "")]

    assert [answer.status_code for answer in answers] == [401] * 4


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [
        pytest.param("AKIAAAAAAAAAAAAAAAAA", "{secret}", id="unknown-key"),
        pytest.param("{key_id}", "wrong", id="wrong-secret"),
        pytest.param("{key_id}", "", id="no-secret"),
        pytest.param("{key_id}", "{secret}x", id="longer-secret"),
        pytest.param("{key_id}", "sécret", id="not-ascii"),
        pytest.param("%", "{secret}", id="wildcard"),
        pytest.param("' OR 1=1 --", "{secret}", id="sql"),
    ],
)
def test_login_refuses_a_wrong_access_key(server: Server, key_id: str, secret: str) -> None:
    given = basic(key_id.format(key_id=server.key_id), secret.format(secret=server.secret))

    answer = base(server, given)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("garbage", id="garbage"),
        pytest.param("", id="empty"),
        pytest.param(".", id="dot"),
        pytest.param("{body}", id="no-mac"),
        pytest.param("{body}.", id="empty-mac"),
        pytest.param("{body}.{mac}x", id="longer-mac"),
        pytest.param("{body}x.{mac}", id="longer-body"),
        pytest.param("x{body}.{mac}", id="other-body"),
        pytest.param(".{mac}", id="no-body"),
        pytest.param("{body}.é", id="mac-not-ascii"),
        pytest.param("é.{mac}", id="body-not-ascii"),
        pytest.param("{body}.{mac}:{mac}", id="colon"),
        pytest.param("eyJhbGciOiJub25lIn0.{body}.", id="jwt-without-algorithm"),
    ],
)
def test_login_refuses_a_token_that_was_changed(server: Server, change: str) -> None:
    body, _, mac = token_of(server).partition(".")

    answer = base(server, basic("AWS", change.format(body=body, mac=mac)))

    assert error_of(answer) == INVALID


def forge(server: Server, purpose: str, expires: float) -> str:
    """Seal a token with the server's own secret."""
    secret = bytes.fromhex((server.data / "secret").read_text().strip())
    payload = {"key": server.key_id, "account": ACCOUNT, "region": "us-east-1", "exp": expires}
    return Seals(secret).seal(purpose, payload)


def test_login_refuses_an_expired_token(server: Server) -> None:
    expired = forge(server, "authorization-token", time.time() - 1)

    answer = base(server, basic("AWS", expired))

    assert error_of(answer) == EXPIRED


def test_login_refuses_a_seal_for_another_purpose(server: Server) -> None:
    other = forge(server, "download", time.time() + 60)
    right = forge(server, "authorization-token", time.time() + 60)

    answers = [base(server, basic("AWS", token)) for token in (other, right)]

    assert error_of(answers[0]) == INVALID
    assert answers[1].status_code == 200


def test_login_refuses_a_download_url_as_token(
    server: Server, ecr: ECRClient, http: httpx.Client, repository: str
) -> None:
    image = make_image()
    push_image(http, repository, image)
    url = ecr.get_download_url_for_layer(
        repositoryName=repository, layerDigest=image.layers[0].digest
    )["downloadUrl"]

    answer = base(server, basic("AWS", url.rpartition("/")[2]))

    assert error_of(answer) == INVALID


def test_token_of_one_region_is_refused_in_another(server: Server) -> None:
    token = token_of(server, "eu-west-1")

    here = base(server, basic("AWS", token), registry_host(server, region="us-east-1"))
    there = base(server, basic("AWS", token), registry_host(server, region="eu-west-1"))

    assert error_of(here) == INVALID
    assert there.status_code == 200


def test_token_leads_to_the_registry_of_its_region(server: Server) -> None:
    server.ecr(region="eu-west-2").create_repository(repositoryName="only/in/eu-west-2")
    tokens = [token_of(server, region) for region in ("eu-west-2", "us-east-1")]

    answers = [
        httpx.get(f"{server.endpoint}/v2/only/in/eu-west-2/tags/list", auth=("AWS", token))
        for token in tokens
    ]

    assert [answer.status_code for answer in answers] == [200, 404]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("{account}.dkr.ecr.eu-west-3.localhost:{port}", id="localhost"),
        pytest.param("{account}.dkr.ecr.eu-west-3.amazonaws.com", id="amazon"),
        pytest.param("{account}.DKR.ECR.EU-WEST-3.Example.ORG", id="capitals"),
    ],
)
def test_access_key_leads_to_the_registry_its_host_names(
    server: Server, make_name: Callable[[], str], host: str
) -> None:
    name = make_name()
    server.ecr(region="eu-west-3").create_repository(repositoryName=name)
    hosts = [host.format(account=ACCOUNT, port=server.port), server.host]

    answers = [
        httpx.get(
            f"{server.endpoint}/v2/{name}/tags/list",
            auth=(server.key_id, server.secret),
            headers={"Host": one},
        )
        for one in hosts
    ]

    assert [answer.status_code for answer in answers] == [200, 404]


def test_host_of_another_account_reveals_nothing(server: Server, repository: str) -> None:
    headers = {"Host": registry_host(server, account="999999999999")}
    ask = [
        httpx.get(
            f"{server.endpoint}/v2/{path}", auth=(server.key_id, server.secret), headers=headers
        )
        for path in (f"{repository}/tags/list", "_catalog")
    ]

    unknown = (
        f"The repository with name '{repository}' does not exist in the registry with id "
        "'999999999999'"
    )
    denied = (
        f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: "
        "ecr:DescribeRepositories on resource: "
        "arn:aws:ecr:us-east-1:999999999999:repository/* because no resource-based policy "
        "allows the ecr:DescribeRepositories action"
    )
    assert error_of(ask[0]) == (404, "NAME_UNKNOWN", unknown)
    assert error_of(ask[1]) == (403, "DENIED", denied)
