"""`ecrate pull`: an image out of a repository into an OCI layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ecrate.cli.download import LayerDownload
from ecrate.cli.layout_writer import LayoutWriter
from ecrate.cli.manifests import Manifest
from ecrate.cli.options import Parser
from ecrate.cli.progress import Progress, open_progress
from ecrate.cli.reference import parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.repository import Repository, choose_platform, read_image
from ecrate.cli.transfer import add_transfer_options, run_parallel, tell_result

SUMMARY = "pull an image into an OCI layout"
_USAGE: Final = "ecrate pull [HOST/]REPOSITORY[:TAG|@DIGEST] DIRECTORY-OR-TAR [options]"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Pull an image into an OCI layout: a directory, which "
        "may be a layout already, or a file whose name ends in .tar, which `docker load` takes.",
        example="ecrate pull app:1.0 app.tar",
    )
    parser.add_argument("name", metavar="NAME", help="[HOST/]REPOSITORY[:TAG|@DIGEST]")
    parser.add_argument("destination", metavar="DIRECTORY-OR-TAR", type=Path)
    add_transfer_options(parser)
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Pull and print the manifest's digest; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    reference = parse_reference(given.name)
    tag = reference.tag or (None if reference.digest else "latest")
    with (
        open_registries(given) as registries,
        open_progress(quiet=given.quiet) as progress,
    ):
        repository = registries.open(reference)
        found = repository.find(reference.digest or tag or "latest")
        image = read_image(repository, choose_platform(repository, found, given.platform))
        with LayoutWriter(given.destination) as writer:
            results = _fetch(repository, image, writer, progress, jobs=given.jobs)
            descriptor = {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.content),
            }
            writer.finish(descriptor, tag=tag, name=f"{repository.text}:{tag}")
    name = f"{repository.text}@{image.digest}"
    tell_result(image, name, tag or reference.repository, results, is_json=given.json)
    return 0


def _fetch(
    repository: Repository, image: Manifest, writer: LayoutWriter, progress: Progress, *, jobs: int
) -> dict[str, dict[str, Any]]:
    """Write the image's manifests and blobs; give how each blob came."""
    for manifest in image.bottom_up():
        writer.put(manifest.digest, manifest.content)
    downloads, results = [], {}
    for digest, blob in image.all_blobs().items():
        path = writer.path(digest)
        is_there = path.is_file() and path.stat().st_size == blob.size
        if is_there:
            progress.finish(digest, "already there")
        else:
            downloads.append(LayerDownload(blob, path, progress).run)
        result = "already there" if is_there else "downloaded"
        results[digest] = {"digest": digest, "size": blob.size, "result": result}
    run_parallel(downloads, jobs=jobs, connections=repository.connections)
    return results
