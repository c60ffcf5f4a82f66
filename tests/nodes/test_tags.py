"""Tags under the hands of many clients: what they saw has to be linearizable."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.histories import Kind, Recorder, find_violation
from tests.support.images import MadeImage, make_image
from tests.support.recorded import ApiTags, RecordedTags, RegistryTags
from tests.support.registry import push_image
from tests.support.server import Server, running_server

TAGS = ("latest", "stable")
ROUNDS = int(os.environ.get("TEST_ROUNDS", "40"))
# Reads are what finds fault; writes are what there is to find.
DEEDS = ("put", "put", "get", "get", "delete", "list")

on_nodes = [pytest.mark.postgres, pytest.mark.s3]


@pytest.fixture(scope="module")
def workers() -> Iterator[Server]:
    """A server of two workers on SQLite; the kernel deals out the clients' connections."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--workers", "2") as running,
    ):
        yield running


@pytest.fixture(
    params=[pytest.param("workers", id="sqlite"), pytest.param("cluster", marks=on_nodes)]
)
def servers(request: pytest.FixtureRequest) -> Sequence[Server]:
    """Where clients go, one after the other."""
    found: Server | Cluster = request.getfixturevalue(request.param)
    return found.nodes if isinstance(found, Cluster) else [found]


def open_tags(
    opened: ExitStack, server: Server, number: int, recorder: Recorder, repository: str
) -> RecordedTags:
    """Give a client of the registry door or, each third, of the AWS door."""
    if number % 3 == 2:
        return ApiTags(recorder, f"api-{number}", repository, server.ecr())
    http = opened.enter_context(server.http())
    return RegistryTags(recorder, f"registry-{number}", repository, http)


def work(tags: RecordedTags, images: Sequence[MadeImage], seed: int) -> None:
    """Do what a client may, at random."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated
    for _ in range(ROUNDS):
        tag = dice.choice(TAGS)
        match dice.choice(DEEDS):
            case "put":
                tags.put(tag, dice.choice(images))
            case "get":
                tags.get(tag)
            case "delete":
                tags.delete(tag)
            case _:
                tags.list()


def at_once(deeds: Sequence[Callable[[], None]]) -> None:
    """Let each have a thread, and begin together."""
    gate = threading.Barrier(len(deeds))

    def begin(deed: Callable[[], None]) -> None:
        gate.wait()
        deed()

    with ThreadPoolExecutor(len(deeds)) as threads:
        for done in [threads.submit(begin, deed) for deed in deeds]:
            done.result()


def test_tags_are_linearizable(servers: Sequence[Server]) -> None:
    recorder, name = Recorder(), "tags/linearizable"
    servers[0].ecr().create_repository(repositoryName=name)
    images = [make_image(10) for _ in range(4)]
    with servers[0].http() as http:
        for image in images:
            push_image(http, name, image)

    with ExitStack() as opened:
        clients = [
            open_tags(opened, servers[number % len(servers)], number, recorder, name)
            for number in range(6)
        ]
        at_once([partial(work, tags, images, seed) for seed, tags in enumerate(clients)])

    assert find_violation(recorder.calls) == ""
    counts = Counter(call.kind for call in recorder.calls)
    assert all(counts[kind] >= 10 for kind in Kind), counts
    assert len(recorder.calls) == ROUNDS * len(clients)


def test_every_tag_that_writers_were_told_of_is_there(servers: Sequence[Server]) -> None:
    name, image, count = "tags/writers", make_image(10), 8
    servers[0].ecr().create_repository(repositoryName=name)
    told: list[str] = []
    with servers[0].http() as http:
        push_image(http, name, image)

    def write(writer: int) -> None:
        with servers[writer % len(servers)].http() as http:
            for number in range(count):
                tag = f"w{writer}-{number}"
                path = f"/v2/{name}/manifests/{tag}"
                if http.put(path, content=image.manifest).status_code == 201:
                    told.append(tag)

    at_once([partial(write, writer) for writer in range(6)])

    assert len(told) == 6 * count
    for server in servers:
        with server.http() as http:
            assert http.get(f"/v2/{name}/tags/list").json()["tags"] == sorted(told)
