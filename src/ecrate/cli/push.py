"""`ecrate push`: an image from a layout or archive into a repository."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from ecrate.cli.archive import FileSource, open_source
from ecrate.cli.docker_archive import (
    PreparedLayer,
    RawLayer,
    is_docker_archive,
    make_manifest,
    prepare_layer,
    read_docker_archive,
)
from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.image_push import ImagePush
from ecrate.cli.layout import Choice, is_layout, read_layout
from ecrate.cli.manifests import Manifest, digest_of
from ecrate.cli.options import Parser
from ecrate.cli.progress import open_progress
from ecrate.cli.reference import parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.transfer import add_transfer_options, run_parallel, tell_result

SUMMARY = "push an OCI layout or a `docker save` archive"
_USAGE: Final = "ecrate push LAYOUT-OR-TAR [HOST/]REPOSITORY[:TAG] [options]"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Push an image: an OCI layout (directory or tar) or an "
        "archive of `docker save`, compressed or not; `-` reads a tar from standard input. "
        "Layers that are there already are not sent.",
        example="ecrate push image.tar app:1.0 --create",
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
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Push and print the manifest's digest; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    reference = parse_reference(given.name)
    if reference.digest is not None:
        raise CommandError(
            f"'{given.name}' has a digest, which the image decides; push to a tag", BAD_COMMAND
        )
    tag = reference.tag or "latest"
    choice = Choice(given.reference, tag, given.platform)
    with (
        open_registries(given) as registries,
        open_source(given.source) as source,
        tempfile.TemporaryDirectory(prefix="ecrate-push-") as scratch,
        open_progress(quiet=given.quiet) as progress,
    ):
        repository = registries.open(reference)
        push = ImagePush(repository, progress, jobs=given.jobs, create=given.create)
        if is_layout(source):
            image = read_layout(source, choice)
        elif is_docker_archive(source):
            image = _prepare(push, source, choice, Path(scratch), compress=given.compress)
        else:
            raise CommandError(
                f"{source.description} is neither an OCI layout (index.json) nor an archive of "
                "`docker save` (manifest.json)"
            )
        push.blobs(image)
        push.manifests(image, tag)
    tell_result(image, f"{repository.text}:{tag}", tag, push.results, is_json=given.json)
    return 0


def _prepare(
    push: ImagePush, source: FileSource, choice: Choice, scratch: Path, *, compress: bool
) -> Manifest:
    """Make the image of a `docker save` archive: its layers, then their manifest."""
    image = read_docker_archive(source, choice)
    # A missing repository is found here, before the work.
    push.present([digest_of(image.config)])
    layers = {layer.diff_id: layer for layer in image.layers}

    def prepare(layer: RawLayer) -> PreparedLayer:
        push.progress.start(layer.diff_id, "reading", layer.size)
        report = partial(push.progress.advance, layer.diff_id)
        prepared = prepare_layer(source, layer, scratch, report, compress=compress)
        push.progress.finish(layer.diff_id, "prepared", f"pushed as {prepared.blob.digest}")
        return prepared

    tasks = [partial(prepare, layer) for layer in layers.values()]
    results = run_parallel(tasks, jobs=push.jobs, connections=push.repository.connections)
    prepared = dict(zip(layers, results, strict=True))
    return make_manifest(image, [prepared[layer.diff_id] for layer in image.layers])
