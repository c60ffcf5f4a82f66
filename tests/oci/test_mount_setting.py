"""Mounts obey the account setting BLOB_MOUNTING."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.images import digest_of
from tests.support.registry import push_blob, some_bytes
from tests.support.server import Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

CONTENT = some_bytes(3000, "mount setting")
DIGEST = digest_of(CONTENT)


@pytest.fixture(scope="module", params=["", "ecr"], ids=["usual", "parity"])
def own_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A server whose repository `source` has the blob."""
    data = tmp_path_factory.mktemp("mounts") / "data"
    with (
        running_server(data, env={"ECRATE_PARITY": request.param}) as running,
        running.http() as http,
    ):
        running.ecr().create_repository(repositoryName="source")
        push_blob(http, "source", CONTENT)
        yield running


@pytest.fixture
def own_http(own_server: Server) -> Iterator[httpx.Client]:
    with own_server.http() as client:
        yield client


def make_target(ecr: ECRClient, name: str) -> str:
    ecr.create_repository(repositoryName=name)
    return name


def mount(http: httpx.Client, target: str, **parameters: Any) -> int:
    """Ask for a mount and give the status: 201 done, 202 an upload begins."""
    path = f"/v2/{target}/blobs/uploads/"
    return http.post(path, params={"mount": DIGEST, **parameters}).status_code


@pytest.mark.parametrize(("value", "status"), [("ENABLED", 201), ("DISABLED", 202)])
def test_mount_obeys_the_account_setting(
    own_server: Server, own_http: httpx.Client, value: str, status: int
) -> None:
    ecr = own_server.ecr()
    target = make_target(ecr, f"target/{value.lower()}")
    ecr.put_account_setting(name="BLOB_MOUNTING", value=value)

    answer = mount(own_http, target, **{"from": "source"})

    assert answer == status
    has = own_http.head(f"/v2/{target}/blobs/{DIGEST}").status_code == 200
    assert has == (status == 201)


def test_mounted_layer_outlives_the_switch(own_server: Server, own_http: httpx.Client) -> None:
    ecr = own_server.ecr()
    target = make_target(ecr, "target/kept")
    ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    mount(own_http, target, **{"from": "source"})

    ecr.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")

    head = own_http.head(f"/v2/{target}/blobs/{DIGEST}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))


def test_mount_under_parity_needs_a_source(parity_server: Server) -> None:
    ecr = parity_server.ecr()
    ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    source = make_target(ecr, "setting/source")
    target = make_target(ecr, "setting/target")
    with parity_server.http() as http:
        push_blob(http, source, CONTENT)

        statuses = [mount(http, target), mount(http, target, **{"from": source})]

    ecr.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    assert statuses == [202, 201]


def test_mounts_are_off_at_first_under_parity(parity_server: Server) -> None:
    ecr = parity_server.ecr(region="parity-mounts")

    answer = ecr.get_account_setting(name="BLOB_MOUNTING")

    assert answer["value"] == "DISABLED"
