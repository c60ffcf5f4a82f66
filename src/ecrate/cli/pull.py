"""`ecrate pull`: an image out of a repository into an OCI layout, through the layer API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ecrate.cli.client import Client, make_client
from ecrate.cli.download import LayerDownload
from ecrate.cli.failures import SERVICE_ERROR, CommandError
from ecrate.cli.layout import MEDIA_TYPES, digest_of, is_digest, platform_of
from ecrate.cli.layout_writer import LayoutWriter
from ecrate.cli.options import CommonValues, Parser, add_connection_options, common_values
from ecrate.cli.profile import Profile
from ecrate.cli.progress import Progress, open_progress
from ecrate.cli.reference import Reference, endpoint_of, parse_reference
from ecrate.cli.transfer import add_transfer_options, run_parallel

SUMMARY = "pull an image into an OCI layout"
_USAGE: Final = "ecrate pull [HOST/]REPOSITORY[:TAG|@DIGEST] DIRECTORY-OR-TAR [options]"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Pull an image through the layer API into an OCI layout: a directory, which "
        "may be a layout already, or a file whose name ends in .tar, which `docker load` takes.",
    )
    parser.add_argument("name", metavar="NAME", help="[HOST/]REPOSITORY[:TAG|@DIGEST]")
    parser.add_argument("destination", metavar="DIRECTORY-OR-TAR", type=Path)
    add_transfer_options(parser)
    add_connection_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Pull and print the manifest's digest; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    options = common_values(given)
    reference = parse_reference(given.name)
    profile = Profile(options)
    endpoint = endpoint_of(reference, options, profile)
    tag = reference.tag or (None if reference.digest else "latest")
    with (
        make_client(options, profile, endpoint=endpoint, region=reference.region) as client,
        open_progress(quiet=given.quiet) as progress,
    ):
        pull = _Pull(client, options, reference, progress)
        root = pull.find(tag, given.platform)
        with LayoutWriter(given.destination) as writer:
            pull.fetch(root, writer, jobs=given.jobs)
            writer.finish(
                root.descriptor,
                tag=tag,
                name=f"{reference.host or client.endpoint.authority}/{reference.repository}:{tag}",
            )
    print(f"{tag or reference.repository}: digest: {root.digest} size: {len(root.content)}")
    return 0


class _Found:
    """A manifest as the registry gave it, its digest checked."""

    def __init__(self, content: bytes, media_type: str, digest: str) -> None:
        self.content = content
        self.media_type = media_type
        self.digest = digest
        self.body: dict[str, Any] = json.loads(content)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


class _Pull:
    """One image on its way out of one repository."""

    def __init__(
        self, client: Client, options: CommonValues, reference: Reference, progress: Progress
    ) -> None:
        self._client = client
        self._options = options
        self._reference = reference
        self._repository = reference.members()
        self._progress = progress

    def find(self, tag: str | None, platform: str | None) -> _Found:
        """Give the image's manifest or index, or of an index the one for `platform`."""
        if self._reference.digest is not None:
            root = self._manifest({"imageDigest": self._reference.digest})
        else:
            root = self._manifest({"imageTag": tag or "latest"})
        if platform is None or "manifests" not in root.body:
            return root
        known = {platform_of(each): each for each in root.body["manifests"]}
        if platform not in known:
            raise CommandError(
                f"{self._reference.text} has no image for {platform}; it has {', '.join(known)}"
            )
        return self._manifest({"imageDigest": known[platform]["digest"]})

    def fetch(self, root: _Found, writer: LayoutWriter, *, jobs: int) -> None:
        """Write the image's manifests and blobs."""
        blobs: dict[str, int] = {}
        waiting, seen = [root], {root.digest}
        while waiting:
            found = waiting.pop()
            for child in found.body.get("manifests") or ():
                if child["digest"] not in seen:
                    seen.add(child["digest"])
                    waiting.append(self._manifest({"imageDigest": child["digest"]}))
            blobs |= _blobs(found.body)
            writer.put(found.digest, found.content)
        downloads = []
        for digest, size in blobs.items():
            path = writer.path(digest)
            if path.is_file() and path.stat().st_size == size:
                self._progress.finish(digest, "already there")
                continue
            downloads.append(
                LayerDownload(
                    self._client,
                    self._options,
                    self._repository,
                    self._progress,
                    digest=digest,
                    size=size,
                    path=path,
                )
            )
        run_parallel([each.run for each in downloads], jobs=jobs, client=self._client)

    def _manifest(self, image_id: dict[str, str]) -> _Found:
        answer = self._client.call(
            "BatchGetImage",
            {
                **self._repository,
                "imageIds": [image_id],
                "acceptedMediaTypes": list(MEDIA_TYPES),
            },
        )
        images = answer.get("images") or []
        if not images:
            failure = (answer.get("failures") or [{}])[0]
            named = image_id.get("imageTag") or image_id["imageDigest"]
            raise CommandError(
                f"{self._repository['repositoryName']} has no image {named}: "
                f"{failure.get('failureReason', 'none was given')}. "
                f"`ecrate ecr list-images --repository-name {self._repository['repositoryName']}` "
                "tells what is there.",
                SERVICE_ERROR,
            )
        content = images[0]["imageManifest"].encode()
        digest = images[0]["imageId"]["imageDigest"]
        wanted = image_id.get("imageDigest", digest)
        if (digest.startswith("sha256:") and digest_of(content) != digest) or digest != wanted:
            raise CommandError(f"The server gave another manifest than {wanted}; do not trust it")
        if not is_digest(digest):
            raise CommandError(f"The server names a manifest {digest!r}, which is no digest")
        media_type = images[0].get("imageManifestMediaType") or json.loads(content)["mediaType"]
        return _Found(content, media_type, digest)


def _blobs(body: dict[str, Any]) -> dict[str, int]:
    """Give sizes by digest of what a manifest names; foreign layers are elsewhere."""
    config = [body["config"]] if isinstance(body.get("config"), dict) else []
    return {
        each["digest"]: each["size"]
        for each in [*config, *(body.get("layers") or ())]
        if not each.get("urls") and _is_safe(each)
    }


def _is_safe(descriptor: dict[str, Any]) -> bool:
    """Tell that a digest is one: it becomes the name of a file. Raises `CommandError`."""
    if not is_digest(descriptor["digest"]):
        raise CommandError(f"The image names a blob {descriptor['digest']!r}, which is no digest")
    return True
