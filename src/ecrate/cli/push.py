"""`ecrate push`: an image from a layout or archive into a repository, through the layer API."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from ecrate.cli.archive import FileSource, open_source
from ecrate.cli.client import Client, make_client
from ecrate.cli.docker_archive import (
    PreparedLayer,
    RawLayer,
    is_docker_archive,
    make_manifest,
    prepare_layer,
    read_docker_archive,
)
from ecrate.cli.failures import BAD_COMMAND, SERVICE_ERROR, CommandError, ServiceError
from ecrate.cli.layout import Choice, Manifest, digest_of, is_layout, read_layout
from ecrate.cli.options import Parser, add_connection_options, common_values
from ecrate.cli.profile import Profile
from ecrate.cli.progress import Progress, open_progress
from ecrate.cli.reference import Reference, endpoint_of, parse_reference
from ecrate.cli.transfer import add_transfer_options, patiently, run_parallel
from ecrate.cli.upload import LayerUpload, present_layers

SUMMARY = "push an OCI layout or a `docker save` archive"
_USAGE: Final = "ecrate push LAYOUT-OR-TAR [HOST/]REPOSITORY[:TAG] [options]"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Push an image through the layer API: an OCI layout (directory or tar) or an "
        "archive of `docker save`, compressed or not; `-` reads a tar from standard input. "
        "Layers that are there already are not sent.",
    )
    parser.add_argument("source", metavar="LAYOUT-OR-TAR")
    parser.add_argument(
        "name", metavar="[HOST/]REPOSITORY[:TAG]", help="the tag is latest if left out"
    )
    parser.add_argument("--create", action="store_true", help="create the repository if missing")
    parser.add_argument(
        "--reference", metavar="NAME", help="name, tag or digest of the image in the source"
    )
    parser.add_argument(
        "--no-compress",
        action="store_false",
        dest="compress",
        help="push layers of `docker save` as plain tar files",
    )
    add_transfer_options(parser)
    add_connection_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Push and print the manifest's digest; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    options = common_values(given)
    reference = parse_reference(given.name)
    if reference.digest is not None:
        raise CommandError(
            f"'{given.name}' has a digest, which the image decides; push to a tag", BAD_COMMAND
        )
    profile = Profile(options)
    endpoint = endpoint_of(reference, options, profile)
    with (
        make_client(options, profile, endpoint=endpoint, region=reference.region) as client,
        open_source(given.source) as source,
        tempfile.TemporaryDirectory(prefix="ecrate-push-") as scratch,
        open_progress(quiet=given.quiet) as progress,
    ):
        push = _Push(client, reference, progress, jobs=given.jobs, create=given.create)
        tag = reference.tag or "latest"
        choice = Choice(given.reference, tag, given.platform)
        if is_layout(source):
            image = read_layout(source, choice)
        elif is_docker_archive(source):
            image = push.prepare(source, choice, Path(scratch), compress=given.compress)
        else:
            raise CommandError(
                f"{source.description} is neither an OCI layout (index.json) nor an archive of "
                "`docker save` (manifest.json)"
            )
        push.layers(image)
        push.manifests(image, tag)
    print(f"{tag}: digest: {image.digest} size: {len(image.content)}")
    return 0


class _Push:
    """One image on its way into one repository."""

    def __init__(
        self, client: Client, reference: Reference, progress: Progress, *, jobs: int, create: bool
    ) -> None:
        self._client = client
        self._repository = reference.members()
        self._progress = progress
        self._jobs = jobs
        self._create = create

    def prepare(
        self, source: FileSource, choice: Choice, scratch: Path, *, compress: bool
    ) -> Manifest:
        """Make the image of a `docker save` archive: its layers, then their manifest."""
        image = read_docker_archive(source, choice)
        # A missing repository is found here, before the work.
        self._present([digest_of(image.config)])
        layers = {layer.diff_id: layer for layer in image.layers}

        def prepare(layer: RawLayer) -> PreparedLayer:
            self._progress.start(layer.diff_id, "reading", layer.size)
            report = partial(self._progress.advance, layer.diff_id)
            prepared = prepare_layer(source, layer, scratch, report, compress=compress)
            self._progress.finish(layer.diff_id, "prepared", f"pushed as {prepared.blob.digest}")
            return prepared

        tasks = [partial(prepare, layer) for layer in layers.values()]
        results = run_parallel(tasks, jobs=self._jobs, client=self._client)
        prepared = dict(zip(layers, results, strict=True))
        return make_manifest(image, [prepared[layer.diff_id] for layer in image.layers])

    def layers(self, image: Manifest) -> None:
        """Upload what is not there yet."""
        blobs = image.all_blobs()
        present = self._present(list(blobs))
        for digest in blobs:
            if digest in present:
                self._progress.finish(digest, "already there")
        missing = [blob for digest, blob in blobs.items() if digest not in present]
        uploads = [
            LayerUpload(self._client, self._repository, blob, self._progress) for blob in missing
        ]
        run_parallel([each.run for each in uploads], jobs=self._jobs, client=self._client)

    def manifests(self, image: Manifest, tag: str) -> None:
        """Put the children by their digests, then the image under its tag."""
        for manifest in image.bottom_up():
            naming = {"imageTag": tag} if manifest is image else {}
            parameters = {
                **self._repository,
                **naming,
                "imageManifest": manifest.content.decode(),
                "imageManifestMediaType": manifest.media_type,
                "imageDigest": manifest.digest,
            }
            try:
                patiently(
                    partial(self._client.call, "PutImage", parameters),
                    client=self._client,
                    tell=self._progress.tell,
                )
            except ServiceError as error:
                if error.code == "ImageTagAlreadyExistsException":
                    raise CommandError(
                        f"{error}\nPush to another tag, or allow tags to move: ecrate ecr "
                        "put-image-tag-mutability --image-tag-mutability MUTABLE "
                        f"--repository-name {self._repository['repositoryName']}",
                        SERVICE_ERROR,
                    ) from None
                if error.code != "ImageAlreadyExistsException":
                    raise

    def _present(self, digests: list[str]) -> set[str]:
        try:
            return present_layers(self._client, self._repository, digests)
        except ServiceError as error:
            if error.code != "RepositoryNotFoundException":
                raise
            name = self._repository["repositoryName"]
            if not self._create:
                raise CommandError(
                    f"{error}\nCreate it with `ecrate ecr create-repository --repository-name "
                    f"{name}`, or push with --create.",
                    SERVICE_ERROR,
                ) from None
        self._create_repository()
        return set()

    def _create_repository(self) -> None:
        try:
            self._client.call("CreateRepository", self._repository)
        except ServiceError as error:
            # Somebody else may just have made it.
            if error.code != "RepositoryAlreadyExistsException":
                raise
