"""Images in the server for the commands to find."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping

from tests.support.images import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Blob,
    MadeImage,
    digest_of,
    make_image,
)
from tests.support.layouts import pack_index
from tests.support.registry import manifest_of, push_blobs, push_image, put_manifest
from tests.support.server import Server

SIGNATURE = "application/vnd.example.signature"


def tags_of(server: Server, repository: str) -> dict[str, str]:
    """Give digests by tag."""
    ids = server.ecr().list_images(repositoryName=repository, filter={"tagStatus": "TAGGED"})
    return {each["imageTag"]: each["imageDigest"] for each in ids["imageIds"]}


def push(server: Server, repository: str, image: MadeImage, *tags: str) -> None:
    with server.http() as http:
        push_image(http, repository, image, *tags)


def push_index(server: Server, repository: str, tag: str) -> dict[str, MadeImage]:
    images = {"amd64": make_image(100), "arm64": make_image(200)}
    with server.http() as http:
        for image in images.values():
            push_image(http, repository, image)
        put_manifest(http, repository, tag, pack_index(images), OCI_INDEX)
    return images


def push_referrer(server: Server, repository: str, subject: str) -> str:
    """Push a signature of the subject; give its digest."""
    signature = make_image(50)
    descriptor = {"mediaType": OCI_MANIFEST, "digest": subject}
    document = manifest_of(
        signature,
        OCI_MANIFEST,
        subject={**descriptor, "size": 1},
        artifactType=SIGNATURE,
    )
    with server.http() as http:
        push_blobs(http, repository, signature)
        digest = digest_of(document.encode())
        answer = put_manifest(http, repository, digest, document)
    assert answer.status_code == 201, answer.text
    return digest


def tar(files: Mapping[str, bytes | str | None]) -> bytes:
    """Make an archive: bytes are a file's, a text is a link's target, None makes a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return packed.getvalue()


def image_of(*tars: bytes, level: int = 1, **config: object) -> MadeImage:
    """Make an image of archives, gzipped; `config` goes to its configuration's `config`."""
    document = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-02T03:04:05Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in tars]},
        "history": [
            {"created_by": "ENV a=b", "empty_layer": True},
            *({"created_by": f"COPY {number}"} for number in range(len(tars))),
        ],
    }
    layers = tuple(Blob(gzip.compress(each, level, mtime=0)) for each in tars)
    return MadeImage(Blob(json.dumps(document).encode(), OCI_CONFIG), layers)
