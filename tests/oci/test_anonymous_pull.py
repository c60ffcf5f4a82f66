"""Pulling without a name, as far as the HTTP goes; real clients do it in tests/clients."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ecrate.operations.seals import Seals
from tests.support.images import MadeImage, make_image
from tests.support.policies import deny, open_to_all, policy
from tests.support.registry import error_of, push_image, token_of
from tests.support.server import ACCOUNT, Server, running_server
from tests.support.signing import CONTENT_TYPE, TARGET
from tests.support.wire import Wire, basic

OPEN, CLOSED, DENIED = "anonymous/open", "anonymous/closed", "anonymous/denied"
ANONYMOUS_PULL = {"ECRATE_ANONYMOUS_PULL": "true"}


@pytest.fixture(scope="module")
def image() -> MadeImage:
    return make_image(1000)


@pytest.fixture(scope="module")
def public(image: MadeImage) -> Iterator[Server]:
    """A server with the image in a repository from which all may pull, and in one of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env=ANONYMOUS_PULL) as running,
        running.http() as http,
    ):
        ecr = running.ecr()
        for name in (OPEN, CLOSED):
            ecr.create_repository(repositoryName=name)
            push_image(http, name, image, "latest")
        open_to_all(ecr, OPEN)
        ecr.create_repository(repositoryName=DENIED)
        text = policy(deny("ecr:BatchGetImage", Principal="*"))
        ecr.set_repository_policy(repositoryName=DENIED, policyText=text)
        yield running


@pytest.fixture
def nameless(public: Server) -> Iterator[httpx.Client]:
    """A client with a bearer token of nobody."""
    headers = {"Authorization": f"Bearer {bearer(public)}"}
    with httpx.Client(base_url=public.endpoint, headers=headers) as client:
        yield client


def bearer(server: Server, authorization: str = "") -> str:
    """Fetch a token at the realm, as clients do that were challenged."""
    headers = {"Authorization": authorization} if authorization else {}
    parameters = {"service": "ecr.amazonaws.com", "scope": f"repository:{OPEN}:pull"}
    answer = httpx.get(f"{server.endpoint}/v2/token", params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    token = answer.json()["token"]
    assert isinstance(token, str)
    return token


def ask(server: Server, authorization: str, path: str = "") -> httpx.Response:
    return httpx.get(f"{server.endpoint}/v2/{path}", headers={"Authorization": authorization})


def denial(action: str, resource: str) -> tuple[int, str, str]:
    """Give the error that the nameless meet."""
    text = (
        f"User: anonymous is not authorized to perform: ecr:{action} on resource: {resource} "
        f"because no resource-based policy allows the ecr:{action} action. "
        "You are not logged in."
    )
    return 401, "UNAUTHORIZED", text


def arn(repository: str) -> str:
    return f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{repository}"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        pytest.param("GET", "", "", id="base"),
        pytest.param("GET", "_catalog", "", id="catalog"),
        pytest.param("GET", f"{OPEN}/manifests/x", f"repository:{OPEN}:pull", id="pull"),
        pytest.param("HEAD", f"{OPEN}/blobs/x", f"repository:{OPEN}:pull", id="look"),
        pytest.param("POST", "no/such/blobs/uploads/", "repository:no/such:pull,push", id="push"),
        pytest.param("GET", "UPPER/manifests/x", "", id="bad-name"),
    ],
)
def test_challenge_tells_where_tokens_are(
    public: Server, method: str, path: str, scope: str
) -> None:
    answer = httpx.request(method, f"{public.endpoint}/v2/{path}")

    expected = f'Bearer realm="{public.endpoint}/v2/token",service="ecr.amazonaws.com"'
    expected += f',scope="{scope}"' if scope else ""
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == expected
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_token_document_is_that_of_the_specification(public: Server) -> None:
    document = httpx.get(f"{public.endpoint}/v2/token").json()

    assert set(document) == {"token", "access_token", "expires_in", "issued_at"}
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == 300
    assert time.strptime(document["issued_at"], "%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        pytest.param("", "GET", id="base"),
        pytest.param(f"{OPEN}/manifests/latest", "GET", id="manifest"),
        pytest.param(f"{OPEN}/manifests/{{manifest}}", "HEAD", id="manifest-by-digest"),
        pytest.param(f"{OPEN}/blobs/{{layer}}", "GET", id="blob"),
        pytest.param(f"{OPEN}/blobs/{{layer}}", "HEAD", id="look-for-blob"),
        pytest.param(f"{OPEN}/tags/list", "GET", id="tags"),
        pytest.param(f"{OPEN}/referrers/{{manifest}}", "GET", id="referrers"),
    ],
)
def test_nameless_may_pull(
    nameless: httpx.Client, image: MadeImage, path: str, method: str
) -> None:
    path = path.format(manifest=image.digest, layer=image.layers[0].digest)

    answer = nameless.request(method, f"/v2/{path}")

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        pytest.param("POST", "blobs/uploads/", "InitiateLayerUpload", id="upload"),
        pytest.param("POST", "blobs/uploads/?mount={layer}", "InitiateLayerUpload", id="mount"),
        pytest.param("PATCH", "blobs/uploads/x", "UploadLayerPart", id="chunk"),
        pytest.param("PUT", "manifests/latest", "PutImage", id="same-manifest-again"),
        pytest.param("DELETE", "manifests/latest", "BatchDeleteImage", id="delete-tag"),
        pytest.param("DELETE", "manifests/{manifest}", "BatchDeleteImage", id="delete-image"),
        pytest.param("DELETE", "blobs/{layer}", "BatchDeleteImage", id="delete-blob"),
    ],
)
def test_nameless_may_not_change_anything(
    nameless: httpx.Client, image: MadeImage, method: str, path: str, action: str
) -> None:
    path = path.format(manifest=image.digest, layer=image.layers[0].digest)

    answer = nameless.request(method, f"/v2/{OPEN}/{path}", content=image.manifest)

    assert error_of(answer) == denial(action, arn(OPEN))
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("name", [OPEN, CLOSED, "no/such"])
def test_nameless_are_refused_before_their_manifest_is_read(public: Server, name: str) -> None:
    headers: dict[str, str | int] = {
        "Authorization": f"Bearer {bearer(public)}",
        "Content-Length": 4_000_000,
        "Expect": "100-continue",
    }
    with Wire(public) as wire:
        answer = wire.ask("PUT", f"/v2/{name}/manifests/latest", headers)

    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


def test_nameless_may_not_list_repositories(nameless: httpx.Client) -> None:
    answer = nameless.get("/v2/_catalog")

    assert error_of(answer) == denial("DescribeRepositories", arn("*"))


@pytest.mark.parametrize("name", [CLOSED, DENIED, "no/such"])
def test_nameless_may_not_pull_what_is_not_open_to_all(nameless: httpx.Client, name: str) -> None:
    answer = nameless.get(f"/v2/{name}/manifests/latest")

    assert error_of(answer) == denial("BatchGetImage", arn(name))


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(basic("", ""), id="no-user-and-no-password"),
        pytest.param("Basic", id="nothing"),
    ],
)
def test_empty_basic_credentials_count_as_nameless(public: Server, authorization: str) -> None:
    pulled = ask(public, authorization, f"{OPEN}/manifests/latest")
    closed = ask(public, authorization, f"{CLOSED}/manifests/latest")
    fetched = ask(public, f"Bearer {bearer(public, authorization)}", f"{OPEN}/manifests/latest")

    assert pulled.status_code == fetched.status_code == 200
    assert error_of(closed) == denial("BatchGetImage", arn(CLOSED))


def test_token_of_an_access_key_may_do_what_the_key_may(public: Server) -> None:
    token = bearer(public, basic(public.key_id, public.secret))

    answer = ask(public, f"Bearer {token}", f"{CLOSED}/manifests/latest")

    assert answer.status_code == 200


def test_token_for_an_authorization_token_may_do_what_its_principal_may(public: Server) -> None:
    token = bearer(public, basic("AWS", token_of(public)))

    answer = ask(public, f"Bearer {token}", f"{CLOSED}/manifests/latest")

    assert answer.status_code == 200


def test_basic_credentials_are_still_good(public: Server) -> None:
    answer = ask(public, basic(public.key_id, public.secret), f"{CLOSED}/manifests/latest")

    assert answer.status_code == 200


@pytest.mark.parametrize("path", [pytest.param("token", id="token"), pytest.param("", id="base")])
def test_wrong_credentials_are_not_taken_for_none(public: Server, path: str) -> None:
    answer = ask(public, basic(public.key_id, "wrong"), path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def forged(server: Server, purpose: str, expires: float) -> str:
    """Seal a nameless token with the server's own secret."""
    secret = bytes.fromhex((server.data / "secret").read_text().strip())
    payload = {"key": "", "account": ACCOUNT, "region": "us-east-1", "exp": expires}
    return Seals(secret).seal(purpose, payload)


@pytest.mark.parametrize(
    ("purpose", "lifetime", "reason"),
    [
        pytest.param(
            "bearer-token",
            -1,
            "Your authorization token has expired. Reauthenticate and try again.",
            id="expired",
        ),
        pytest.param(
            "authorization-token", 60, "Your Authorization Token is invalid.", id="other-purpose"
        ),
    ],
)
def test_bad_bearer_token_is_challenged_so_that_the_client_fetches_another(
    public: Server, purpose: str, lifetime: float, reason: str
) -> None:
    token = forged(public, purpose, time.time() + lifetime)

    answer = ask(public, f"Bearer {token}", f"{OPEN}/manifests/latest")

    assert error_of(answer) == (401, "UNAUTHORIZED", reason)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_bearer_token_is_no_password(public: Server) -> None:
    token = bearer(public, basic(public.key_id, public.secret))

    answer = ask(public, basic("AWS", token))

    assert error_of(answer) == (403, "DENIED", "Your Authorization Token is invalid.")


def test_bearer_token_fetches_no_other(public: Server) -> None:
    tokens = (bearer(public), bearer(public, basic("AWS", token_of(public))))

    answers = [ask(public, f"Bearer {token}", "token") for token in tokens]

    assert [error_of(answer)[:2] for answer in answers] == [(401, "UNAUTHORIZED")] * 2


def test_nameless_token_leads_to_the_registry_of_the_host_it_was_fetched_from(
    public: Server,
) -> None:
    host = f"{ACCOUNT}.dkr.ecr.eu-west-1.localhost:{public.port}"
    fetched = httpx.get(f"{public.endpoint}/v2/token", headers={"Host": host}).json()["token"]
    headers = {"Authorization": f"Bearer {fetched}"}

    answer = httpx.get(f"{public.endpoint}/v2/{OPEN}/manifests/latest", headers=headers)

    elsewhere = arn(OPEN).replace("us-east-1", "eu-west-1")
    assert error_of(answer) == denial("BatchGetImage", elsewhere)


def test_aws_door_stays_closed_to_the_nameless(public: Server) -> None:
    headers = {"X-Amz-Target": f"{TARGET}.DescribeRepositories", "Content-Type": CONTENT_TYPE}

    answer = httpx.post(public.endpoint, headers=headers, content=b"{}")

    assert answer.status_code == 400
    assert answer.json()["__type"] == "MissingAuthenticationTokenException"


def test_nameless_are_challenged_where_the_setting_is_off(server: Server) -> None:
    token = forged(server, "bearer-token", time.time() + 60)

    answers = [
        ask(server, f"Bearer {token}"),
        ask(server, basic("", "")),
        httpx.get(f"{server.endpoint}/v2/token"),
    ]

    challenges = [answer.headers["WWW-Authenticate"] for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert challenges == [f'Basic realm="{server.endpoint}/",service="ecr.amazonaws.com"'] * 3


def test_token_endpoint_serves_names_where_the_setting_is_off(server: Server) -> None:
    token = bearer(server, basic(server.key_id, server.secret))

    assert ask(server, f"Bearer {token}").status_code == 200
