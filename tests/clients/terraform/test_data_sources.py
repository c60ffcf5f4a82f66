"""The data sources: tokens, images, repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support import terraform_data as data
from tests.support.images import make_image
from tests.support.pushing import push_image
from tests.support.server import Server
from tests.support.terraform import State, code_of

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient


@pytest.mark.parametrize("is_named", [False, True], ids=["own", "named"])
def test_authorization_token_opens_the_registry(
    ecr: ECRClient, account: str, dev_server: Server, *, is_named: bool
) -> None:
    token = data.authorization_token(ecr, account if is_named else None)

    answer = httpx.get(f"{dev_server.endpoint}/v2/", auth=(token["user_name"], token["password"]))
    assert answer.status_code == 200
    assert token["user_name"] == "AWS"
    assert token["proxy_endpoint"] == dev_server.endpoint


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        pytest.param({"image_tag": "v1"}, 0, id="tag"),
        pytest.param({"image_digest": "0"}, 0, id="digest"),
        pytest.param({"image_tag": "v2", "image_digest": "1"}, 1, id="both"),
        pytest.param({"most_recent": True}, 1, id="most-recent"),
    ],
)
def test_image_is_found(ecr: ECRClient, dev_server: Server, wanted: State, place: int) -> None:
    ecr.create_repository(repositoryName="app")
    digests = [push_image(ecr, "app", make_image(), *tags) for tags in (["v1", "w1"], ["v2"])]
    if "image_digest" in wanted:
        wanted = {**wanted, "image_digest": digests[int(wanted["image_digest"])]}

    found = data.image(ecr, "app", **wanted)

    assert found["image_digest"] == digests[place]
    assert found["image_tags"] == [["v1", "w1"], ["v2"]][place]
    host, _, rest = found["image_uri"].partition("/")
    name, _, digest = rest.partition("@")
    token = data.authorization_token(ecr)
    pulled = httpx.get(
        f"http://{host}/v2/{name}/manifests/{digest}", auth=("AWS", token["password"])
    )
    assert pulled.status_code == 200
    assert host == dev_server.host


def test_image_that_is_not_there_is_told_of(ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="app")

    with pytest.raises(ClientError) as caught:
        data.image(ecr, "app", image_tag="v1")

    assert code_of(caught.value) == "ImageNotFoundException"


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        pytest.param({}, 4, id="all"),
        pytest.param({"max_results": 1}, 4, id="page-by-page"),
        pytest.param({"tag_status": "TAGGED"}, 3, id="tagged"),
        pytest.param({"tag_status": "UNTAGGED"}, 1, id="untagged"),
    ],
)
def test_images_are_listed_and_described(ecr: ECRClient, wanted: State, count: int) -> None:
    ecr.create_repository(repositoryName="app")
    for tags in (["v1", "w1"], ["v2"], []):
        push_image(ecr, "app", make_image(), *tags)

    found = data.images(ecr, "app", **wanted)

    digests = {one["imageDigest"] for one in found["image_ids"]}
    assert len(found["image_ids"]) == count
    assert {one["imageDigest"] for one in found["image_details"]} == digests


def test_repository_data_source_knows_the_youngest_image(ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="app", tags=[{"Key": "a", "Value": "b"}])
    empty = data.repository(ecr, "app")
    for tag in ("v1", "v2"):
        push_image(ecr, "app", make_image(), tag)

    found = data.repository(ecr, "app")

    assert empty["most_recent_image_tags"] is None
    assert found["most_recent_image_tags"] == ["v2"]
    assert found["tags"] == {"a": "b"}


def test_repositories_data_source_lists_all(ecr: ECRClient) -> None:
    names = {f"app/{number}" for number in range(101)}
    for name in names:
        ecr.create_repository(repositoryName=name)

    found = data.repositories(ecr)

    assert found == names
