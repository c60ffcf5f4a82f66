"""What was acknowledged outlives the server's sudden end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.images import digest_of, make_image
from tests.support.registry import (
    MIB,
    finish_upload,
    pull_blob,
    push_image,
    size_of,
    some_bytes,
    start_upload,
    wait_until,
    writers_of,
)
from tests.support.server import running_server
from tests.support.wire import Wire


def test_acknowledged_image_survives_a_kill(tmp_path: Path) -> None:
    images = [make_image(size) for size in (0, 1000, 3 * MIB)]
    with running_server(tmp_path / "data") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="r/r")
        for number, image in enumerate(images):
            push_image(http, "r/r", image, f"v{number}")
        server.kill()

    with running_server(tmp_path / "data") as server, server.http() as http:
        manifests = [http.get(f"/v2/r/r/manifests/v{number}").text for number in range(3)]
        layers = [pull_blob(http, "r/r", image.layers[0].digest) for image in images]

    assert manifests == [image.manifest for image in images]
    assert layers == [image.layers[0].content for image in images]


@pytest.mark.parametrize("size", [1000, 3 * MIB], ids=["small", "large"])
def test_acknowledged_part_of_an_upload_survives_a_kill(tmp_path: Path, size: int) -> None:
    content = some_bytes(size + 500_000, "killed")
    with running_server(tmp_path / "data") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="r/r")
        upload = start_upload(http, "r/r")
        http.patch(upload, content=content[:size])
        server.kill()

    with running_server(tmp_path / "data") as server, server.http() as http:
        kept = size_of(http, upload)
        http.patch(upload, content=content[size:])
        answer = finish_upload(http, upload, content)

        assert kept == size
        assert answer.status_code == 201, answer.text
        assert pull_blob(http, "r/r", digest_of(content)) == content


def test_part_under_way_at_a_kill_counts_for_nothing(tmp_path: Path) -> None:
    content = some_bytes(8 * MIB, "under way")
    with running_server(tmp_path / "data") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="r/r")
        upload = start_upload(http, "r/r")
        http.patch(upload, content=content[: 2 * MIB])
        with Wire(server) as wire:
            wire.head("PATCH", upload, {"Content-Length": 6 * MIB})
            wire.send(bytes(4 * MIB))
            wait_until(lambda: writers_of(server, upload) == 1)
            server.kill()

    with running_server(tmp_path / "data") as server, server.http() as http:
        kept = size_of(http, upload)
        http.patch(upload, content=content[2 * MIB :])

        assert kept == 2 * MIB
        assert finish_upload(http, upload, content).status_code == 201
        assert pull_blob(http, "r/r", digest_of(content)) == content
