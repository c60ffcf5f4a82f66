"""One authorization point: whatever names an image, the same right is asked for.

The user is called `admin`, and has no more rights for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.images import OCI_MANIFEST, MadeImage, make_image
from tests.support.policies import PULLING, allow, policy
from tests.support.principals import make_user
from tests.support.registry import push_image
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.type_defs import ImageIdentifierTypeDef

REPOSITORY = "rights/one"
TAGS = ["latest", "v1"]
PULL = allow(*PULLING, Resource="*")


@dataclass(frozen=True)
class Seat:
    """A user who may only pull, and an image that is there."""

    server: Server
    http: httpx.Client
    image: MadeImage

    def path(self, text: str) -> str:
        """Put the image's names into a path."""
        names = {"digest": self.image.digest, "layer": self.image.layers[0].digest, "tag": "v1"}
        return f"/v2/{REPOSITORY}/{text.format(**names)}"

    def tags(self) -> list[str]:
        return list(self.http.get(self.path("tags/list")).json()["tags"])


@pytest.fixture(scope="module")
def seat(server: Server) -> Iterator[Seat]:
    image = make_image(10)
    server.ecr().create_repository(repositoryName=REPOSITORY)
    with server.http() as http:
        push_image(http, REPOSITORY, image, *TAGS)
    user = make_user(server, "admin", policy(PULL))
    with user.http() as http:
        yield Seat(user, http, image)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["manifests/{tag}", "manifests/latest", "manifests/{digest}", "blobs/{layer}"]
)
def test_right_to_pull_holds_however_it_is_named(seat: Seat, method: str, path: str) -> None:
    assert seat.http.request(method, seat.path(path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "manifests/{tag}"),
        ("PUT", "manifests/new"),
        ("PUT", "manifests/latest"),
        ("PUT", "manifests/{digest}"),
        ("PUT", "manifests/{digest}?tag=new"),
        ("DELETE", "manifests/{tag}"),
        ("DELETE", "manifests/latest"),
        ("DELETE", "manifests/{digest}"),
        ("DELETE", "blobs/{layer}"),
        ("POST", "blobs/uploads/"),
        ("POST", "blobs/uploads/?digest={layer}"),
        ("POST", "blobs/uploads/?mount={layer}&from=" + REPOSITORY),
    ],
)
def test_right_to_pull_changes_nothing_however_it_is_named(
    seat: Seat, method: str, path: str
) -> None:
    is_manifest = method == "PUT"
    answer = seat.http.request(
        method,
        seat.path(path),
        content=seat.image.manifest if is_manifest else b"",
        headers={"Content-Type": OCI_MANIFEST} if is_manifest else {},
    )

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "DENIED")
    assert seat.tags() == TAGS


@pytest.mark.parametrize("reference", ["v1", "latest", "{digest}"])
def test_right_to_pull_deletes_nothing_at_the_other_door(seat: Seat, reference: str) -> None:
    digest = seat.image.digest
    image_id: ImageIdentifierTypeDef = (
        {"imageDigest": digest} if reference == "{digest}" else {"imageTag": reference}
    )

    with contextlib.closing(seat.server.ecr()) as ecr, pytest.raises(ClientError) as refused:
        ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[image_id])

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert seat.tags() == TAGS
