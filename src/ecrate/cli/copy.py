"""`ecrate copy`: images from one repository to another, of the same registry or any two."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

from ecrate.cli.failures import BAD_COMMAND, SERVICE_ERROR, CommandError
from ecrate.cli.image_push import ImagePush
from ecrate.cli.manifests import Document, Manifest
from ecrate.cli.options import Parser
from ecrate.cli.progress import Progress, open_progress
from ecrate.cli.reference import Reference, parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.repository import Repository, choose_platform, read_image, read_referrers
from ecrate.cli.transfer import add_transfer_options, print_json

SUMMARY = "copy images from one repository to another"
_USAGE: Final = "ecrate copy SOURCE[:TAG|@DIGEST] DESTINATION[:TAG] [options]"
# Source: cosign's SIGNATURE_SPEC, "Tag-based discovery".
_COSIGN_SUFFIXES: Final = ("sig", "att", "sbom")


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Copy an image between two repositories, whose names are "
        "[HOST/]REPOSITORY: without a host, at the configured ecrate; at any other registry with "
        "docker's credentials. Nothing is kept on this machine, what the destination has is not "
        "sent again, and within one registry layers are mounted instead of sent where it allows.",
        example="ecrate copy docker.io/library/alpine:3 mirror/alpine --create --referrers",
    )
    parser.add_argument("source", metavar="SOURCE[:TAG|@DIGEST]")
    parser.add_argument(
        "destination", metavar="DESTINATION[:TAG]", help="the tag is the source's if left out"
    )
    parser.add_argument("--create", action="store_true", help="create the repository if missing")
    parser.add_argument(
        "--referrers",
        action="store_true",
        help="copy signatures, SBOMs and whatever else refers to the image as well",
    )
    parser.add_argument(
        "--all-tags", action="store_true", help="copy all tags; neither name has one then"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="copy all tags of all repositories; SOURCE is a registry's host then, DESTINATION "
        "what stands before the names, or . for nothing",
    )
    add_transfer_options(parser)
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Copy and print the digests; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    if given.all:
        return _copy_all(given)
    source, destination = parse_reference(given.source), parse_reference(given.destination)
    if destination.digest is not None:
        raise CommandError(
            f"'{given.destination}' has a digest, which the image decides; copy to a tag",
            BAD_COMMAND,
        )
    if given.all_tags and (source.tag or source.digest or destination.tag):
        problem = "ecrate: --all-tags takes no tag"
        raise CommandError(problem, BAD_COMMAND, advice=f"usage: {_USAGE}")
    with (
        open_registries(given) as registries,
        open_progress(quiet=given.quiet) as progress,
    ):
        copy = _Copy(registries.open(source), registries.open(destination), progress, given)
        copied = [copy.run(*names) for names in _names(copy.source, source, destination, given)]
    if given.json:
        print_json(copied if given.all_tags else copied[0])
        return 0
    for each in copied:
        _tell(each)
    return 0


def _tell(copied: dict[str, Any]) -> None:
    print(f"{copied['name']}: digest: {copied['digest']} size: {copied['size']}")


def _copy_all(given: argparse.Namespace) -> int:
    """Copy a whole registry; one repository that cannot be copied keeps no other from it."""
    host, prefix = given.source.rstrip("/"), given.destination.rstrip("/")
    if "/" in host or "@" in f"{host}{prefix}":
        problem = f"ecrate: with --all, '{given.source}' has to be a registry's host"
        raise CommandError(problem, BAD_COMMAND, advice=f"usage: {_USAGE}")
    copied, failed = [], []
    with open_registries(given) as registries, open_progress(quiet=given.quiet) as progress:
        for name in registries.names(host):
            source = Reference(f"{host}/{name}", host, name, None, None)
            try:
                destination = parse_reference(name if prefix == "." else f"{prefix}/{name}")
                places = (registries.open(source), registries.open(destination))
                copy = _Copy(*places, progress, given)
                for tag in copy.source.tags():
                    copied.append(copy.run(tag, tag))
                    if not given.json:
                        _tell(copied[-1])
            except CommandError as error:
                failed.append(name)
                progress.tell(f"{source.text} is not copied whole: {error}")
    if given.json:
        print_json(copied)
    if failed:
        raise CommandError(f"not copied whole: {', '.join(failed)}", SERVICE_ERROR)
    return 0


def _names(
    repository: Repository, source: Reference, destination: Reference, given: argparse.Namespace
) -> list[tuple[str, str | None]]:
    """Give for each image what names it at the source, and its new tag."""
    if given.all_tags:
        return [(tag, tag) for tag in repository.tags()]
    old = source.digest or source.tag or "latest"
    new = destination.tag or source.tag or (None if source.digest else "latest")
    return [(old, new)]


class _Copy:
    """Copies images from one repository to another."""

    def __init__(
        self,
        source: Repository,
        destination: Repository,
        progress: Progress,
        given: argparse.Namespace,
    ) -> None:
        self.source = source
        self._destination = destination
        self._progress = progress
        self._jobs: int = given.jobs
        self._create: bool = given.create
        self._platform: str | None = given.platform
        self._with_referrers: bool = given.referrers
        is_one_registry = source.registry == destination.registry
        self._mounted_from = source.name if is_one_registry else None

    def run(self, reference: str, tag: str | None) -> dict[str, Any]:
        """Copy one image and tell what was done."""
        push = ImagePush(
            self._destination,
            self._progress,
            jobs=self._jobs,
            create=self._create,
            mounted_from=self._mounted_from,
        )
        found = choose_platform(self.source, self.source.find(reference), self._platform)
        image = read_image(self.source, found)
        push.blobs(image)
        referrers = []
        if self._with_referrers:
            # The tag comes last: whoever sees it finds the signatures as well.
            push.manifests(image, None)
            referrers = [self._attach(push, *each) for each in self._referrers(image)]
        push.manifests(image, tag)
        name = f"{self._destination.text}{f':{tag}' if tag else f'@{image.digest}'}"
        told = {"name": name, "digest": image.digest, "mediaType": image.media_type}
        counts = {"size": len(image.content), "blobs": list(push.results.values())}
        return {**told, **counts, "referrers": referrers}

    def _referrers(self, image: Manifest) -> Iterator[tuple[Document, str | None]]:
        """Give what refers to the image, and what cosign says by a tag refers to it."""
        subjects = [each.digest for each in image.bottom_up()]
        for document in read_referrers(self.source, subjects):
            yield document, None
        stems = {digest.replace(":", "-") for digest in subjects}
        for tag in self.source.tags():
            stem, _, suffix = tag.partition(".")
            if stem in stems and suffix in _COSIGN_SUFFIXES:
                yield self.source.find(tag), tag

    def _attach(self, push: ImagePush, document: Document, tag: str | None) -> dict[str, Any]:
        attached = read_image(self.source, document)
        push.blobs(attached)
        push.manifests(attached, tag)
        return {"digest": document.digest, "artifactType": document.artifact_type, "tag": tag}
