"""ListImages, DescribeImages, BatchDeleteImage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Blob, make_image
from tests.support.pushing import ids_of, make_index, push_image, push_index, push_layer
from tests.support.server import ACCOUNT, Server
from tests.support.signing import call, error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_ecr.client import ECRClient

UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def two_tagged(ecr: ECRClient, repository: str) -> tuple[str, str, str]:
    """Three images in a repository: tagged a and b, untagged, tagged c; their digests."""
    first, second, third = make_image(), make_image(), make_image()
    push_image(ecr, repository, first, "b", "a")
    push_image(ecr, repository, second)
    push_image(ecr, repository, third, "c")
    return first.digest, second.digest, third.digest


def described(ecr: ECRClient, repository: str, *image_ids: Any) -> list[Any]:
    answer = ecr.describe_images(repositoryName=repository, imageIds=list(image_ids))
    return list(answer["imageDetails"])


@pytest.mark.parametrize(
    ("wanted", "tags"),
    [
        pytest.param({}, ["a", "b", None, "c"], id="all"),
        pytest.param({"tagStatus": "ANY"}, ["a", "b", None, "c"], id="any"),
        pytest.param({"tagStatus": "TAGGED"}, ["a", "b", "c"], id="tagged"),
        pytest.param({"tagStatus": "UNTAGGED"}, [None], id="untagged"),
        pytest.param({"imageStatus": "ACTIVE"}, ["a", "b", None, "c"], id="active"),
        pytest.param({"imageStatus": "ANY"}, ["a", "b", None, "c"], id="any-status"),
        pytest.param({"imageStatus": "ARCHIVED"}, [], id="archived"),
    ],
)
@pytest.mark.usefixtures("two_tagged")
def test_list_images_gives_one_entry_a_tag(
    ecr: ECRClient, repository: str, wanted: Any, tags: list[str | None]
) -> None:
    listed = ecr.list_images(repositoryName=repository, filter=wanted)["imageIds"]

    assert [one.get("imageTag") for one in listed] == tags


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.usefixtures("two_tagged")
def test_list_images_pages_give_everything_once(ecr: ECRClient, repository: str, size: int) -> None:
    whole = ids_of(ecr, repository)
    paginator = ecr.get_paginator("list_images")

    pages = list(paginator.paginate(repositoryName=repository, PaginationConfig={"PageSize": size}))

    entries = [one for page in pages for one in page["imageIds"]]
    assert [(one["imageDigest"], one.get("imageTag")) for one in entries] == whole
    assert [len(page["imageIds"]) for page in pages[:-1]] == [size] * (len(pages) - 1)


@pytest.mark.usefixtures("two_tagged")
def test_list_images_refuses_the_token_of_another_filter(ecr: ECRClient, repository: str) -> None:
    token = ecr.list_images(repositoryName=repository, maxResults=1)["nextToken"]

    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid token"):
        ecr.list_images(repositoryName=repository, nextToken=token, filter={"tagStatus": "TAGGED"})


@pytest.mark.usefixtures("two_tagged")
@pytest.mark.parametrize("operation", ["list_images", "describe_images"])
def test_page_token_dies_with_its_repository(
    ecr: ECRClient, repository: str, operation: str
) -> None:
    list_page = getattr(ecr, operation)
    token = list_page(repositoryName=repository, maxResults=1)["nextToken"]
    ecr.delete_repository(repositoryName=repository, force=True)
    ecr.create_repository(repositoryName=repository)

    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid token"):
        list_page(repositoryName=repository, nextToken=token)


def test_describe_images_tells_all_of_an_image(ecr: ECRClient, repository: str) -> None:
    image = make_image(100, 23)
    before = datetime.now(UTC) - timedelta(seconds=1)
    push_image(ecr, repository, image, "v2", "v1")

    (detail,) = described(ecr, repository, {"imageTag": "v1"})

    assert before <= detail.pop("imagePushedAt") <= datetime.now(UTC)
    assert detail == {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageDigest": image.digest,
        "imageTags": ["v1", "v2"],
        "imageSizeInBytes": len(image.config.content) + 123,
        "imageManifestMediaType": OCI_MANIFEST,
        "artifactMediaType": OCI_CONFIG,
        "imageStatus": "ACTIVE",
    }


def test_describe_images_tells_what_an_image_is_about(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_layer(ecr, repository, image.config.content)
    subject = Blob(b"elsewhere", OCI_MANIFEST)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.sbom",
            "config": image.config.descriptor,
            "layers": [],
            "subject": subject.descriptor,
        }
    )
    put_answer = ecr.put_image(repositoryName=repository, imageManifest=manifest)

    (detail,) = described(ecr, repository, put_answer["image"]["imageId"])

    assert detail["artifactMediaType"] == "application/vnd.example.sbom"
    assert detail["subjectManifestDigest"] == subject.digest
    assert "imageTags" not in detail


def test_describe_images_gives_an_index_its_largest_image(ecr: ECRClient, repository: str) -> None:
    small, large = make_image(10), make_image(1000)
    push_index(ecr, repository, small, large)

    (detail,) = described(ecr, repository, {"imageTag": "all"})

    assert detail["imageSizeInBytes"] == len(large.config.content) + 1000
    assert detail["imageManifestMediaType"] == OCI_INDEX
    assert "artifactMediaType" not in detail


def test_describe_images_names_an_image_once(
    ecr: ECRClient, repository: str, two_tagged: tuple[str, str, str]
) -> None:
    details = described(
        ecr, repository, {"imageTag": "c"}, {"imageTag": "b"}, {"imageDigest": two_tagged[0]}
    )

    assert [one["imageDigest"] for one in details] == [two_tagged[2], two_tagged[0]]


@pytest.mark.usefixtures("two_tagged")
def test_describe_images_fails_for_one_that_is_missing(ecr: ECRClient, repository: str) -> None:
    with pytest.raises(ecr.exceptions.ImageNotFoundException) as caught:
        described(ecr, repository, {"imageTag": "a"}, {"imageTag": "none"})

    assert caught.value.response["Error"]["Message"] == (
        "The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within the "
        f"repository with name '{repository}' in the registry with id '{ACCOUNT}'"
    )


@pytest.mark.usefixtures("two_tagged")
def test_describe_images_fails_for_a_tag_of_another_image(ecr: ECRClient, repository: str) -> None:
    with pytest.raises(ecr.exceptions.ImageNotFoundException, match="do not match"):
        described(ecr, repository, {"imageTag": "a", "imageDigest": UNKNOWN})


@pytest.mark.parametrize(
    ("image_id", "message"),
    [
        pytest.param({}, "both tag and digest cannot be null", id="neither"),
        pytest.param({"imageTag": "-"}, "image tag should satisfy", id="tag"),
        pytest.param({"imageDigest": "sha256:1"}, "image digest should satisfy", id="digest"),
    ],
)
def test_describe_images_refuses_what_names_no_image(
    ecr: ECRClient, repository: str, image_id: Any, message: str
) -> None:
    with pytest.raises(ecr.exceptions.InvalidParameterException, match=message):
        described(ecr, repository, image_id)


@pytest.mark.parametrize(
    "paging",
    [
        pytest.param({"maxResults": 1}, id="size"),
        pytest.param({"nextToken": "x"}, id="token"),
        pytest.param({"filter": {"tagStatus": "ANY"}}, id="filter"),
    ],
)
def test_describe_images_refuses_paging_with_names(
    server: Server, repository: str, paging: dict[str, Any]
) -> None:
    parameters = {"repositoryName": repository, "imageIds": [{"imageTag": "a"}], **paging}

    answer = call(server, "DescribeImages", json.dumps(parameters).encode())

    status, code, message = error_of(answer)
    assert (status, code) == (400, "InvalidParameterException")
    assert "nextToken, maxResults and filter cannot be used with imageIds" in message


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        pytest.param({}, [0, 1, 2], id="all"),
        pytest.param({"tagStatus": "TAGGED"}, [0, 2], id="tagged"),
        pytest.param({"tagStatus": "UNTAGGED"}, [1], id="untagged"),
        pytest.param({"imageStatus": "ANY"}, [0, 1, 2], id="any-status"),
        pytest.param({"imageStatus": "ACTIVATING"}, [], id="activating"),
    ],
)
def test_describe_images_pages_give_everything_once(
    ecr: ECRClient,
    repository: str,
    two_tagged: tuple[str, str, str],
    wanted: Any,
    positions: list[int],
) -> None:
    paginator = ecr.get_paginator("describe_images")

    pages = paginator.paginate(
        repositoryName=repository, filter=wanted, PaginationConfig={"PageSize": 1}
    )

    found = [one["imageDigest"] for page in pages for one in page["imageDetails"]]
    assert found == [two_tagged[position] for position in positions]


def test_describe_images_tells_when_an_image_was_pulled(ecr: ECRClient, repository: str) -> None:
    push_image(ecr, repository, make_image(), "v1")
    before = datetime.now(UTC) - timedelta(seconds=1)
    ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])

    (detail,) = described(ecr, repository, {"imageTag": "v1"})

    assert before <= detail["lastRecordedPullTime"] <= datetime.now(UTC)


def test_batch_delete_image_by_tag_keeps_the_image_for_its_other_tags(
    ecr: ECRClient, repository: str
) -> None:
    image = make_image()
    push_image(ecr, repository, image, "a", "b")

    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "a"}])

    assert gone["imageIds"] == [{"imageDigest": image.digest, "imageTag": "a"}]
    assert ids_of(ecr, repository) == [(image.digest, "b")]


@pytest.mark.parametrize("names_digest", [True, False], ids=["both", "tag"])
def test_batch_delete_image_takes_the_image_with_its_last_tag(
    ecr: ECRClient, repository: str, *, names_digest: bool
) -> None:
    image = make_image()
    push_image(ecr, repository, image, "a")
    image_id: Any = {"imageTag": "a"} | ({"imageDigest": image.digest} if names_digest else {})

    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[image_id])

    assert gone["imageIds"] == [{"imageDigest": image.digest, "imageTag": "a"}]
    assert ids_of(ecr, repository) == []


@pytest.mark.parametrize("tags", [pytest.param([], id="untagged"), ["a", "b"]])
def test_batch_delete_image_by_digest_takes_all_tags(
    ecr: ECRClient, repository: str, tags: list[str]
) -> None:
    image = make_image()
    push_image(ecr, repository, image, *tags)
    entries = [{"imageDigest": image.digest, "imageTag": tag} for tag in tags]

    gone = ecr.batch_delete_image(
        repositoryName=repository, imageIds=[{"imageDigest": image.digest}]
    )

    assert gone["imageIds"] == (entries or [{"imageDigest": image.digest}])
    assert ids_of(ecr, repository) == []


def test_batch_delete_image_does_not_find_the_same_image_twice(
    ecr: ECRClient, repository: str
) -> None:
    image = make_image()
    push_image(ecr, repository, image, "a")

    gone = ecr.batch_delete_image(
        repositoryName=repository, imageIds=[{"imageDigest": image.digest}, {"imageTag": "a"}]
    )

    assert len(gone["imageIds"]) == 1
    assert [one["failureCode"] for one in gone["failures"]] == ["ImageNotFound"]


@pytest.mark.parametrize("by", ["imageDigest", "imageTag"])
def test_batch_delete_image_keeps_what_an_index_lists(
    ecr: ECRClient, repository: str, by: str
) -> None:
    child = make_image()
    index = push_index(ecr, repository, child)
    ecr.put_image(repositoryName=repository, imageManifest=child.manifest, imageTag="child")
    image_id: Any = {by: {"imageDigest": child.digest, "imageTag": "child"}[by]}

    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[image_id])

    assert gone["imageIds"] == []
    assert gone["failures"] == [
        {
            "imageId": image_id,
            "failureCode": "ImageReferencedByManifestList",
            "failureReason": f"Requested image referenced by manifest list: [{index}]",
        }
    ]


def test_batch_delete_image_takes_an_index_and_then_its_images(
    ecr: ECRClient, repository: str
) -> None:
    child = make_image()
    index = push_index(ecr, repository, child)

    gone = ecr.batch_delete_image(
        repositoryName=repository,
        imageIds=[{"imageDigest": index}, {"imageDigest": child.digest}],
    )

    assert gone["failures"] == []
    assert ids_of(ecr, repository) == []


def test_batch_delete_image_leaves_what_a_deleted_index_listed(
    ecr: ECRClient, repository: str
) -> None:
    child = make_image()
    push_index(ecr, repository, child)

    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "all"}])

    assert ids_of(ecr, repository) == [(child.digest, None)]


def test_batch_delete_image_ignores_immutability(ecr: ECRClient, repository: str) -> None:
    name = f"{repository}/immutable"
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    push_image(ecr, name, make_image(), "v1")

    gone = ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])

    assert gone["failures"] == []


def test_images_of_two_repositories_do_not_meet(
    ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    image, here, there = make_image(), make_repository(), make_repository()
    push_image(ecr, here, image, "v1")
    push_image(ecr, there, image, "v1")

    ecr.batch_delete_image(repositoryName=here, imageIds=[{"imageTag": "v1"}])

    assert ids_of(ecr, here) == []
    assert ids_of(ecr, there) == [(image.digest, "v1")]


def test_names_that_begin_alike_do_not_meet(ecr: ECRClient, repository: str) -> None:
    short, long = make_image(), make_image()
    push_image(ecr, repository, short, "0.1.2", "0.1")
    push_image(ecr, repository, long, "0.1.20")

    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "0.1.2"}])

    assert ids_of(ecr, repository) == [(short.digest, "0.1"), (long.digest, "0.1.20")]


def test_index_of_an_index_is_accepted(ecr: ECRClient, repository: str) -> None:
    child = make_image()
    inner = push_index(ecr, repository, child)
    outer = make_index()
    document = json.loads(outer)
    document["manifests"] = [{"mediaType": OCI_INDEX, "digest": inner, "size": 1}]

    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(document), imageTag="outer")

    (detail,) = described(ecr, repository, {"imageTag": "outer"})
    assert detail["imageSizeInBytes"] == len(child.config.content) + 1000
