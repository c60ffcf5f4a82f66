"""UpdateImageStorageClass, and what archived images look like through the AWS door."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.images import Blob, MadeImage, make_image
from tests.support.pushing import make_index, push_image, push_index, push_layer
from tests.support.registry import wait_until
from tests.support.server import ACCOUNT, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.literals import TargetStorageClassType

_NUMBERS = itertools.count(1)
ALL = {"imageStatus": "ANY"}
INACCESSIBLE = "The image is archived and cannot be pulled until it is restored"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ECRClient]:
    """A server on which a restore takes longer than the tests."""
    data = tmp_path_factory.mktemp("slow") / "data"
    with running_server(data, env={"ECRATE_ACTIVATION_SECONDS": "3600"}) as running:
        yield running.ecr()


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which a restore takes no time."""
    data = tmp_path_factory.mktemp("quick") / "data"
    with running_server(data, env={"ECRATE_ACTIVATION_SECONDS": "0"}) as running:
        yield running


@pytest.fixture(scope="module")
def quick(quick_server: Server) -> ECRClient:
    return quick_server.ecr()


@pytest.fixture
def place(slow: ECRClient, quick: ECRClient) -> str:
    """A new repository on both servers."""
    name = f"storage/{next(_NUMBERS)}"
    slow.create_repository(repositoryName=name)
    quick.create_repository(repositoryName=name)
    return name


def move(
    ecr: ECRClient, repository: str, digest: str, target: TargetStorageClassType = "ARCHIVE"
) -> str:
    """Move an image to the storage class and give its status."""
    answer = ecr.update_image_storage_class(
        repositoryName=repository, imageId={"imageDigest": digest}, targetStorageClass=target
    )
    return answer["imageStatus"]


def described(ecr: ECRClient, repository: str, digest: str) -> Any:
    answer = ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    (detail,) = answer["imageDetails"]
    return detail


def listed(ecr: ECRClient, repository: str, **wanted: Any) -> list[str]:
    """Give the digests that ListImages lists; DescribeImages must agree."""
    ids = ecr.list_images(repositoryName=repository, filter=cast("Any", wanted))["imageIds"]
    details = ecr.describe_images(repositoryName=repository, filter=cast("Any", wanted))[
        "imageDetails"
    ]
    digests = [one["imageDigest"] for one in ids]
    assert [one["imageDigest"] for one in details] == list(dict.fromkeys(digests))
    return digests


def pulled(ecr: ECRClient, repository: str, digest: str) -> Any:
    answer = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    return [one["imageManifest"] for one in answer["images"]] or answer["failures"]


def availability(ecr: ECRClient, repository: str, *digests: str) -> list[str]:
    answer = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=list(digests)
    )
    return [one["layerAvailability"] for one in answer["layers"]]


def pushed(ecr: ECRClient, repository: str, *tags: str) -> MadeImage:
    image = make_image()
    push_image(ecr, repository, image, *tags)
    return image


def test_update_image_storage_class_archives(slow: ECRClient, place: str) -> None:
    image, before = pushed(slow, place, "v1"), datetime.now(UTC) - timedelta(seconds=1)

    answer = slow.update_image_storage_class(
        repositoryName=place, imageId={"imageTag": "v1"}, targetStorageClass="ARCHIVE"
    )

    detail = described(slow, place, image.digest)
    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == place
    assert answer["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    assert answer["imageStatus"] == "ARCHIVED"
    assert detail["imageStatus"] == "ARCHIVED"
    assert detail["imageTags"] == ["v1"]
    assert before <= detail["lastArchivedAt"] <= datetime.now(UTC)
    assert "lastActivatedAt" not in detail


def test_restore_says_so_until_it_has_ended(slow: ECRClient, place: str) -> None:
    image = pushed(slow, place, "v1")
    move(slow, place, image.digest)

    status = move(slow, place, image.digest, "STANDARD")

    detail = described(slow, place, image.digest)
    assert status == "ACTIVATING"
    assert detail["imageStatus"] == "ACTIVATING"
    assert "lastArchivedAt" in detail
    assert "lastActivatedAt" not in detail
    assert pulled(slow, place, image.digest)[0]["failureCode"] == "ImageInaccessible"


def test_restore_that_has_ended(quick: ECRClient, place: str) -> None:
    image = pushed(quick, place, "v1")
    move(quick, place, image.digest)

    status = move(quick, place, image.digest, "STANDARD")

    detail = described(quick, place, image.digest)
    assert status == "ACTIVE"
    assert detail["imageStatus"] == "ACTIVE"
    assert detail["lastArchivedAt"] <= detail["lastActivatedAt"] <= datetime.now(UTC)
    assert pulled(quick, place, image.digest) == [image.manifest]


def test_restore_ends_by_itself(ecr: ECRClient, repository: str) -> None:
    image = pushed(ecr, repository, "v1")
    move(ecr, repository, image.digest)

    first = move(ecr, repository, image.digest, "STANDARD")

    assert first == "ACTIVATING"
    wait_until(lambda: described(ecr, repository, image.digest)["imageStatus"] == "ACTIVE")
    assert pulled(ecr, repository, image.digest) == [image.manifest]


@pytest.mark.parametrize(
    ("moves", "status"),
    [
        pytest.param(["STANDARD"], "ACTIVE", id="active-stays"),
        pytest.param(["ARCHIVE", "ARCHIVE"], "ARCHIVED", id="archived-stays"),
        pytest.param(["ARCHIVE", "STANDARD", "STANDARD"], "ACTIVATING", id="restore-goes-on"),
    ],
)
def test_update_image_storage_class_to_the_same_does_nothing(
    slow: ECRClient, place: str, moves: list[TargetStorageClassType], status: str
) -> None:
    image = pushed(slow, place)
    for target in moves[:-1]:
        move(slow, place, image.digest, target)
    before = described(slow, place, image.digest)

    last = move(slow, place, image.digest, moves[-1])

    assert last == status
    assert described(slow, place, image.digest) == before


def test_image_that_is_being_restored_cannot_be_archived(slow: ECRClient, place: str) -> None:
    image = pushed(slow, place)
    move(slow, place, image.digest)
    move(slow, place, image.digest, "STANDARD")

    with pytest.raises(ClientError) as refused:
        move(slow, place, image.digest)

    assert refused.value.response["Error"] == {
        "Code": "ImageStorageClassUpdateNotSupportedException",
        "Message": f"The storage class of the image with digest '{image.digest}' cannot change: "
        "it is being restored",
    }


def test_image_of_an_active_index_cannot_be_archived(quick: ECRClient, place: str) -> None:
    child = make_image()
    index = push_index(quick, place, child)

    with pytest.raises(
        quick.exceptions.ImageStorageClassUpdateNotSupportedException, match="image index"
    ):
        move(quick, place, child.digest)

    assert described(quick, place, child.digest)["imageStatus"] == "ACTIVE"
    assert move(quick, place, index) == "ARCHIVED"
    assert move(quick, place, child.digest) == "ARCHIVED"


def test_restore_of_an_index_takes_along_what_it_lists(quick: ECRClient, place: str) -> None:
    children = [make_image(), make_image()]
    index = push_index(quick, place, *children)
    other = pushed(quick, place)
    for digest in (index, children[0].digest, children[1].digest, other.digest):
        move(quick, place, digest)

    status = move(quick, place, index, "STANDARD")

    assert status == "ACTIVE"
    assert set(listed(quick, place)) == {index, children[0].digest, children[1].digest}
    assert listed(quick, place, imageStatus="ARCHIVED") == [other.digest]


def test_index_that_is_pushed_restores_what_it_lists(slow: ECRClient, place: str) -> None:
    child = pushed(slow, place)
    move(slow, place, child.digest)

    slow.put_image(repositoryName=place, imageManifest=make_index(child), imageTag="all")

    assert described(slow, place, child.digest)["imageStatus"] == "ACTIVE"


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        pytest.param({}, [0], id="default"),
        pytest.param({"imageStatus": "ACTIVE"}, [0], id="active"),
        pytest.param({"imageStatus": "ARCHIVED"}, [1, 2], id="archived"),
        pytest.param({"imageStatus": "ACTIVATING"}, [3], id="activating"),
        pytest.param({"imageStatus": "ANY"}, [0, 1, 2, 3], id="any"),
        pytest.param({"imageStatus": "ARCHIVED", "tagStatus": "TAGGED"}, [1], id="tagged"),
        pytest.param({"imageStatus": "ARCHIVED", "tagStatus": "UNTAGGED"}, [2], id="untagged"),
    ],
)
def test_lists_filter_by_status(
    slow: ECRClient, place: str, wanted: dict[str, str], numbers: list[int]
) -> None:
    images = [pushed(slow, place, *tags) for tags in (["a"], ["b"], [], ["d"])]
    for image in images[1:]:
        move(slow, place, image.digest)
    move(slow, place, images[3].digest, "STANDARD")

    found = listed(slow, place, **wanted)

    assert found == [images[number].digest for number in numbers]


@pytest.mark.parametrize("operation", ["list_images", "describe_images"])
def test_lists_page_within_a_status(slow: ECRClient, place: str, operation: Any) -> None:
    images = [pushed(slow, place) for _ in range(5)]
    for image in images[1::2]:
        move(slow, place, image.digest)
    paginator: Any = slow.get_paginator(operation)

    pages = list(
        paginator.paginate(
            repositoryName=place,
            filter={"imageStatus": "ARCHIVED"},
            PaginationConfig={"PageSize": 1},
        )
    )

    found = [page.get("imageIds") or page.get("imageDetails") for page in pages]
    assert [one["imageDigest"] for (one,) in found] == [images[1].digest, images[3].digest]


def test_list_images_refuses_the_token_of_another_status(slow: ECRClient, place: str) -> None:
    pushed(slow, place, "a", "b")
    token = slow.list_images(repositoryName=place, maxResults=1)["nextToken"]

    with pytest.raises(slow.exceptions.InvalidParameterException, match="Invalid token"):
        slow.list_images(repositoryName=place, nextToken=token, filter={"imageStatus": "ANY"})


def test_batch_get_image_fails_for_an_archived_image(quick: ECRClient, place: str) -> None:
    image, other = pushed(quick, place, "v1"), pushed(quick, place)
    move(quick, place, image.digest)

    answer = quick.batch_get_image(
        repositoryName=place, imageIds=[{"imageTag": "v1"}, {"imageDigest": other.digest}]
    )

    assert [one["imageManifest"] for one in answer["images"]] == [other.manifest]
    assert answer["failures"] == [
        {
            "imageId": {"imageTag": "v1"},
            "failureCode": "ImageInaccessible",
            "failureReason": INACCESSIBLE,
        }
    ]


def test_layer_is_archived_with_the_last_image_that_needs_it(quick: ECRClient, place: str) -> None:
    shared, alone, loose = Blob(b"shared" * 9), Blob(b"alone" * 9), Blob(b"loose" * 9)
    first = MadeImage(make_image().config, (shared, alone))
    second = MadeImage(make_image().config, (shared,))
    push_image(quick, place, first)
    push_layer(quick, place, second.config.content)
    quick.put_image(repositoryName=place, imageManifest=second.manifest)
    push_layer(quick, place, loose.content)
    digests = (shared.digest, alone.digest, loose.digest)

    move(quick, place, first.digest)
    with_one = availability(quick, place, *digests)
    move(quick, place, second.digest)
    with_both = availability(quick, place, *digests)
    move(quick, place, second.digest, "STANDARD")
    restored = availability(quick, place, *digests)

    assert with_one == ["AVAILABLE", "ARCHIVED", "AVAILABLE"]
    assert with_both == ["ARCHIVED", "ARCHIVED", "AVAILABLE"]
    assert restored == ["AVAILABLE", "ARCHIVED", "AVAILABLE"]


def test_archived_layer_cannot_be_downloaded(quick: ECRClient, place: str) -> None:
    image = pushed(quick, place)
    digest = image.layers[0].digest
    url = quick.get_download_url_for_layer(repositoryName=place, layerDigest=digest)["downloadUrl"]
    move(quick, place, image.digest)

    with pytest.raises(quick.exceptions.LayerInaccessibleException) as refused:
        quick.get_download_url_for_layer(repositoryName=place, layerDigest=digest)

    assert refused.value.response["Error"]["Message"] == (
        f"The layer with digest '{digest}' in the repository with name '{place}' in registry with "
        f"id '{ACCOUNT}' is not accessible"
    )
    assert httpx.get(url).status_code == 404
    move(quick, place, image.digest, "STANDARD")
    assert httpx.get(url).content == image.layers[0].content


@pytest.mark.parametrize("is_restoring", [False, True], ids=["archived", "activating"])
@pytest.mark.parametrize("tag", [None, "v1", "v2"], ids=["no-tag", "same-tag", "new-tag"])
def test_image_that_is_pushed_again_is_active_at_once(
    slow: ECRClient, place: str, tag: str | None, *, is_restoring: bool
) -> None:
    image = pushed(slow, place, "v1")
    for target in ("ARCHIVE", "STANDARD")[: 1 + is_restoring]:
        move(slow, place, image.digest, target)  # type: ignore[arg-type]  # one of the two
    more: Any = {} if tag is None else {"imageTag": tag}

    slow.put_image(repositoryName=place, imageManifest=image.manifest, **more)

    detail = described(slow, place, image.digest)
    assert detail["imageStatus"] == "ACTIVE"
    assert detail["lastArchivedAt"] <= detail["lastActivatedAt"]
    assert pulled(slow, place, image.digest) == [image.manifest]
    with pytest.raises(slow.exceptions.ImageAlreadyExistsException):
        slow.put_image(repositoryName=place, imageManifest=image.manifest, **more)


def test_archived_image_keeps_its_tag_from_others(slow: ECRClient, place: str) -> None:
    slow.put_image_tag_mutability(repositoryName=place, imageTagMutability="IMMUTABLE")
    image, other = pushed(slow, place, "v1"), pushed(slow, place)
    move(slow, place, image.digest)

    with pytest.raises(slow.exceptions.ImageTagAlreadyExistsException):
        slow.put_image(repositoryName=place, imageManifest=other.manifest, imageTag="v1")


def test_archived_image_can_be_deleted(slow: ECRClient, place: str) -> None:
    image = pushed(slow, place, "v1")
    move(slow, place, image.digest)

    answer = slow.batch_delete_image(repositoryName=place, imageIds=[{"imageTag": "v1"}])

    assert answer["failures"] == []
    assert listed(slow, place, **ALL) == []


def test_repository_with_an_archived_image_is_not_empty(slow: ECRClient, place: str) -> None:
    image = pushed(slow, place)
    move(slow, place, image.digest)

    with pytest.raises(slow.exceptions.RepositoryNotEmptyException):
        slow.delete_repository(repositoryName=place)


@pytest.mark.parametrize(
    ("image_id", "code"),
    [
        pytest.param({"imageTag": "none"}, "ImageNotFoundException", id="unknown-tag"),
        pytest.param(
            {"imageDigest": "sha256:" + "0" * 64}, "ImageNotFoundException", id="unknown-digest"
        ),
        pytest.param({}, "InvalidParameterException", id="neither"),
        pytest.param({"imageDigest": "sha256:0"}, "InvalidParameterException", id="bad-digest"),
        pytest.param({"imageTag": "-"}, "InvalidParameterException", id="bad-tag"),
    ],
)
def test_update_image_storage_class_needs_an_image(
    slow: ECRClient, place: str, image_id: Any, code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        slow.update_image_storage_class(
            repositoryName=place, imageId=image_id, targetStorageClass="ARCHIVE"
        )

    assert refused.value.response["Error"]["Code"] == code


def test_update_image_storage_class_needs_a_repository(slow: ECRClient) -> None:
    with pytest.raises(slow.exceptions.RepositoryNotFoundException):
        move(slow, "never/made", "sha256:" + "0" * 64)
