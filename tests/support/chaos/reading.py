"""Reads at either door, which check what can be told from an answer alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.support.chaos.doors import Doors
from tests.support.chaos.model import World
from tests.support.images import digest_of

if TYPE_CHECKING:
    from types_boto3_ecr.type_defs import ImageIdentifierTypeDef


class Reader:
    """Reads for a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def read_manifest(
        self, door: Doors, repository: str, reference: str, *, at_api: bool
    ) -> str | None:
        """Give a manifest, "" where there is none, None without an answer to rely on."""
        if at_api:
            return self._get_image(door, repository, reference)
        answer = door.ask("GET", f"/v2/{repository}/manifests/{reference}")
        if answer is None:
            return None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ""
        self.world.check(
            f"GET {repository}:{reference}",
            is_true=answer.status_code == httpx.codes.OK
            and answer.headers["Docker-Content-Digest"] == digest_of(answer.content),
            told=f"{answer.status_code} {answer.text[:300]}",
        )
        return answer.text

    def _get_image(self, door: Doors, repository: str, reference: str) -> str | None:
        ids: list[ImageIdentifierTypeDef] = [
            {"imageDigest": reference} if ":" in reference else {"imageTag": reference}
        ]
        told = door.call(lambda ecr: ecr.batch_get_image(repositoryName=repository, imageIds=ids))
        if told is None:
            return None
        self.world.check("BatchGetImage", is_true=not told.code, told=told.message)
        if told.code or not told.document["images"]:
            return ""
        (image,) = told.document["images"]
        manifest: str = image["imageManifest"]
        self.world.check(
            f"BatchGetImage {repository}:{reference}",
            is_true=image["imageId"]["imageDigest"] == digest_of(manifest.encode()),
            told=image["imageId"],
        )
        return manifest

    def read_blob(self, door: Doors, repository: str, digest: str, *, at_api: bool) -> bool | None:
        """Tell whether a layer is there; None without an answer to rely on."""
        if at_api:
            told = door.call(
                lambda ecr: ecr.get_download_url_for_layer(
                    repositoryName=repository, layerDigest=digest
                )
            )
            if told is None or told.code:
                return None if told is None else False
            answer = door.ask("GET", told.document["downloadUrl"])
        else:
            answer = door.ask("GET", f"/v2/{repository}/blobs/{digest}")
        if answer is None or answer.status_code == httpx.codes.NOT_FOUND:
            return None if answer is None else False
        self.world.check(
            f"layer {repository}@{digest}",
            is_true=(answer.status_code, digest_of(answer.content)) == (httpx.codes.OK, digest),
            told=f"{answer.status_code}, {len(answer.content)} bytes",
        )
        return True

    def read_tags(self, door: Doors, repository: str, *, at_api: bool) -> dict[str, str] | None:
        """Give all tags with their digests, "" where the door does not tell them."""
        if at_api:
            told = door.call(
                lambda ecr: ecr.list_images(
                    repositoryName=repository, filter={"tagStatus": "TAGGED"}, maxResults=1000
                )
            )
            if told is None:
                return None
            self.world.check("ListImages", is_true=not told.code, told=told.message)
            ids = [] if told.code else told.document["imageIds"]
            return {one["imageTag"]: one["imageDigest"] for one in ids}
        answer = door.ask("GET", f"/v2/{repository}/tags/list", params={"n": 1000})
        if answer is None:
            return None
        self.world.check(
            "tags/list", is_true=answer.status_code == httpx.codes.OK, told=answer.text
        )
        return dict.fromkeys(answer.json().get("tags") or (), "")
