"""Deleting blobs and tags: at once, everywhere, and never what an image needs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.policies import open_to_all
from tests.support.registry import (
    MIB,
    error_of,
    files_of,
    index_of,
    pull_blob,
    push_blob,
    push_blobs,
    push_image,
    put_manifest,
    some_bytes,
    wait_until,
)
from tests.support.server import Server, running_server
from tests.support.wire import Wire
from tests.support.workers import a_wire_to_each_worker, ask_each_worker

CONTENT = some_bytes(4000, "deletes")
DIGEST = digest_of(CONTENT)
UNKNOWN = "sha256:" + "0" * 64


def delete_blob(http: httpx.Client, repository: str, digest: str) -> httpx.Response:
    return http.delete(f"/v2/{repository}/blobs/{digest}")


def delete_manifest(http: httpx.Client, repository: str, reference: str) -> httpx.Response:
    return http.delete(f"/v2/{repository}/manifests/{reference}")


def statuses(http: httpx.Client, repository: str, *references: str) -> list[int]:
    """Give the status of each manifest."""
    return [http.head(f"/v2/{repository}/manifests/{one}").status_code for one in references]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_deleted_blob_is_gone_from_every_worker(crowd: Server, crowded: str, method: str) -> None:
    path = f"/v2/{crowded}/blobs/{DIGEST}"
    with crowd.http() as http, a_wire_to_each_worker(crowd) as wires:
        push_blob(http, crowded, CONTENT)
        before = [wire.ask(method, path).status for wire in wires]

        deleted = wires[0].ask("DELETE", path)
        after = [wire.ask(method, path).status for wire in wires]

    assert deleted.status == 202
    assert (before, after) == ([200] * 4, [404] * 4)
    assert [answer.status for answer in ask_each_worker(crowd, method, path)] == [404] * 4


def test_blob_deleted_in_one_repository_stays_deleted_whoever_reads_it_elsewhere(
    crowd: Server, crowded: str
) -> None:
    other = f"{crowded}-other"
    crowd.ecr().create_repository(repositoryName=other)
    deleted, kept = f"/v2/{crowded}/blobs/{DIGEST}", f"/v2/{other}/blobs/{DIGEST}"
    with crowd.http() as http, a_wire_to_each_worker(crowd) as wires:
        push_blob(http, crowded, CONTENT)
        push_blob(http, other, CONTENT)
        warm = [wire.ask("GET", path).status for wire in wires for path in (deleted, kept)]
        delete_blob(http, crowded, DIGEST)

        elsewhere = [wire.ask("GET", kept).body for wire in wires]
        here = [wire.ask(method, deleted).status for wire in wires for method in ("GET", "HEAD")]

    assert warm == [200] * 8
    assert elsewhere == [CONTENT] * 4
    assert here == [404] * 8


def test_image_deleted_in_one_repository_stays_deleted_whoever_reads_it_elsewhere(
    crowd: Server, crowded: str
) -> None:
    image, other = make_image(), f"{crowded}-other"
    crowd.ecr().create_repository(repositoryName=other)
    deleted, kept = (f"/v2/{name}/manifests/{image.digest}" for name in (crowded, other))
    with crowd.http() as http, a_wire_to_each_worker(crowd) as wires:
        push_image(http, crowded, image, "latest")
        push_image(http, other, image, "latest")
        warm = [wire.ask("GET", path).status for wire in wires for path in (deleted, kept)]
        delete_manifest(http, crowded, image.digest)

        elsewhere = [wire.ask("GET", kept).body.decode() for wire in wires]
        here = [wire.ask("GET", deleted).status for wire in wires]
        by_tag = [wire.ask("GET", f"/v2/{crowded}/manifests/latest").status for wire in wires]

    assert warm == [200] * 8
    assert elsewhere == [image.manifest] * 4
    assert (here, by_tag) == ([404] * 4, [404] * 4)


def test_delete_blob_that_is_not_there(http: httpx.Client, repository: str) -> None:
    push_blob(http, repository, CONTENT)

    answers = [delete_blob(http, repository, digest) for digest in (DIGEST, DIGEST, UNKNOWN)]

    assert answers[0].status_code == 202
    assert answers[0].content == b""
    assert [error_of(answer)[:2] for answer in answers[1:]] == [(404, "BLOB_UNKNOWN")] * 2


def test_delete_blob_of_another_repository(
    http: httpx.Client, repository: str, make_repository: Callable[[], str]
) -> None:
    push_blob(http, repository, CONTENT)

    answer = delete_blob(http, make_repository(), DIGEST)

    assert error_of(answer)[:2] == (404, "BLOB_UNKNOWN")
    assert pull_blob(http, repository, DIGEST) == CONTENT


def test_delete_blob_needs_a_repository(http: httpx.Client) -> None:
    answer = delete_blob(http, "no/such", DIGEST)

    assert error_of(answer)[:2] == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("digest", ["latest", "sha256:0", DIGEST.upper(), "%00"])
def test_delete_blob_refuses_what_is_no_digest(
    http: httpx.Client, repository: str, digest: str
) -> None:
    answer = delete_blob(http, repository, digest)

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("position", [0, 1, 2], ids=["config", "first-layer", "last-layer"])
def test_blob_that_an_image_needs_stays(http: httpx.Client, repository: str, position: int) -> None:
    image = make_image(1000, 2000)
    push_image(http, repository, image, "latest")
    blob = image.blobs[position]
    delete_manifest(http, repository, "latest")  # the image is still there, untagged

    refused = delete_blob(http, repository, blob.digest)

    assert error_of(refused)[:2] == (405, "UNSUPPORTED")
    assert blob.digest in error_of(refused)[2]
    assert pull_blob(http, repository, blob.digest) == blob.content


def test_blob_goes_after_the_last_image_that_needs_it(http: httpx.Client, repository: str) -> None:
    first = make_image(1000)
    second = MadeImage(make_image().config, first.layers)
    push_image(http, repository, first)
    push_image(http, repository, second)
    layer = first.layers[0].digest

    answers = [
        delete_blob(http, repository, layer),
        delete_manifest(http, repository, first.digest),
        delete_blob(http, repository, layer),
        delete_manifest(http, repository, second.digest),
        delete_blob(http, repository, layer),
    ]

    assert [answer.status_code for answer in answers] == [405, 202, 405, 202, 202]


def test_blob_that_an_image_elsewhere_needs_goes(
    http: httpx.Client, repository: str, make_repository: Callable[[], str]
) -> None:
    image, other = make_image(), make_repository()
    push_image(http, other, image)
    push_blobs(http, repository, image)

    answer = delete_blob(http, repository, image.layers[0].digest)

    assert answer.status_code == 202
    assert pull_blob(http, other, image.layers[0].digest) == image.layers[0].content


def test_deleted_blob_serves_no_image(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_blobs(http, repository, image)
    delete_blob(http, repository, image.layers[0].digest)

    answer = put_manifest(http, repository, "latest", image.manifest)

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")


def test_deleted_blob_can_be_pushed_again(http: httpx.Client, repository: str) -> None:
    push_blob(http, repository, CONTENT)
    delete_blob(http, repository, DIGEST)
    before = http.head(f"/v2/{repository}/blobs/{DIGEST}")

    push_blob(http, repository, CONTENT)

    assert before.status_code == 404
    assert pull_blob(http, repository, DIGEST) == CONTENT


def test_deleted_blob_is_gone_from_the_aws_door(
    server: Server, http: httpx.Client, repository: str
) -> None:
    ecr = server.ecr()
    push_blob(http, repository, CONTENT)
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=DIGEST)
    before = httpx.get(url["downloadUrl"])

    delete_blob(http, repository, DIGEST)

    found = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[DIGEST])
    assert before.content == CONTENT
    assert [layer["layerAvailability"] for layer in found["layers"]] == ["UNAVAILABLE"]
    assert httpx.get(url["downloadUrl"]).status_code == 404


def test_download_goes_on_when_the_blob_is_deleted(
    server: Server, http: httpx.Client, repository: str
) -> None:
    content = some_bytes(32 * MIB)
    digest = push_blob(http, repository, content)
    with Wire(server) as wire:
        wire.head("GET", f"/v2/{repository}/blobs/{digest}")
        begun = wire.socket.recv(1000)

        deleted = delete_blob(http, repository, digest)
        rest = wire.receive(len(content) - len(begun.partition(b"\r\n\r\n")[2]))

    assert deleted.status_code == 202
    assert begun.partition(b"\r\n\r\n")[2] + rest == content


@pytest.mark.parametrize("digest", [DIGEST, UNKNOWN], ids=["there", "not-there"])
def test_delete_blob_is_unsupported_under_parity(parity_server: Server, digest: str) -> None:
    name = f"deletes/{digest[-4:]}"
    parity_server.ecr().create_repository(repositoryName=name)
    with parity_server.http() as http:
        push_blob(http, name, CONTENT)

        answer = delete_blob(http, name, digest)

        assert error_of(answer)[:2] == (405, "UNSUPPORTED")
        assert http.head(f"/v2/{name}/blobs/{DIGEST}").status_code == 200


def test_bytes_of_a_deleted_blob_are_collected_where_nobody_else_has_it(tmp_path: Path) -> None:
    periods = {"ECRATE_COLLECT_EVERY": "0.1", "ECRATE_QUARANTINE": "0"}
    shared, alone = some_bytes(1000), some_bytes(2000)
    with running_server(tmp_path / "data", env=periods) as server, server.http() as http:
        server.ecr().create_repository(repositoryName="deletes/one")
        server.ecr().create_repository(repositoryName="deletes/two")
        push_blob(http, "deletes/one", alone)
        push_blob(http, "deletes/one", shared)
        push_blob(http, "deletes/two", shared)
        wait_until(lambda: len(files_of(server)) == 2)  # not what was sent a second time

        delete_blob(http, "deletes/one", digest_of(shared))
        delete_blob(http, "deletes/one", digest_of(alone))
        wait_until(lambda: len(files_of(server)) == 1)

        assert pull_blob(http, "deletes/two", digest_of(shared)) == shared


def race(crowd: Server, repository: str, image: MadeImage) -> tuple[int, int]:
    """Push the manifest and delete its layer at once; give both statuses."""
    with crowd.http() as one, crowd.http() as two, ThreadPoolExecutor(2) as threads:
        push_blobs(one, repository, image)
        two.get("/v2/")
        pushing = threads.submit(put_manifest, one, repository, image.digest, image.manifest)
        deleting = threads.submit(delete_blob, two, repository, image.layers[0].digest)
        return pushing.result().status_code, deleting.result().status_code


def test_push_and_delete_at_once_leave_a_whole_image_or_none(crowd: Server, crowded: str) -> None:
    images = [make_image() for _ in range(30)]

    outcomes = [race(crowd, crowded, image) for image in images]

    assert set(outcomes) <= {(201, 405), (404, 202)}
    with crowd.http() as http:
        pulled = [http.get(f"/v2/{crowded}/blobs/{image.layers[0].digest}") for image in images]
    assert [answer.status_code for answer in pulled] == [
        200 if outcome == (201, 405) else 404 for outcome in outcomes
    ]


def test_deleted_tag_is_gone_from_every_worker(crowd: Server, crowded: str) -> None:
    image = make_image()
    path = f"/v2/{crowded}/manifests"
    with crowd.http() as http, a_wire_to_each_worker(crowd) as wires:
        push_image(http, crowded, image, "one", "two")
        before = [wire.ask("GET", f"{path}/one").status for wire in wires]

        deleted = wires[0].ask("DELETE", f"{path}/one")

        gone = [wire.ask("GET", f"{path}/one").status for wire in wires]
        kept = [wire.ask("GET", f"{path}/two").status for wire in wires]
        lists = [wire.ask("GET", f"/v2/{crowded}/tags/list").body for wire in wires]

    assert (before, deleted.status) == ([200] * 4, 202)
    assert (gone, kept) == ([404] * 4, [200] * 4)
    assert [b'"tags":["two"]' in body for body in lists] == [True] * 4


def test_child_of_an_index_may_lose_its_last_tag(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_image(http, repository, image, "child")
    index = index_of(OCI_INDEX, OCI_MANIFEST, image.manifest)
    put_manifest(http, repository, "index", index, OCI_INDEX)

    answer = delete_manifest(http, repository, "child")

    assert answer.status_code == 202
    assert statuses(http, repository, "child", "index", image.digest) == [404, 200, 200]


def test_delete_tag_under_parity_deletes_the_image_with_its_last_tag(
    parity_server: Server,
) -> None:
    parity_server.ecr().create_repository(repositoryName="deletes/tags")
    image = make_image()
    with parity_server.http() as http:
        push_image(http, "deletes/tags", image, "one", "two")

        first = delete_manifest(http, "deletes/tags", "one")
        between = statuses(http, "deletes/tags", "one", "two", image.digest)
        last = delete_manifest(http, "deletes/tags", "two")

        assert (first.status_code, last.status_code) == (202, 202)
        assert between == [404, 200, 200]
        assert statuses(http, "deletes/tags", "one", "two", image.digest) == [404] * 3


def test_child_of_an_index_keeps_its_last_tag_under_parity(parity_server: Server) -> None:
    parity_server.ecr().create_repository(repositoryName="deletes/children")
    image = make_image()
    with parity_server.http() as http:
        push_image(http, "deletes/children", image, "child")
        index = index_of(OCI_INDEX, OCI_MANIFEST, image.manifest)
        put_manifest(http, "deletes/children", "index", index, OCI_INDEX)

        answer = delete_manifest(http, "deletes/children", "child")

        message = f"Requested image referenced by manifest list: [{digest_of(index.encode())}]"
        assert error_of(answer) == (405, "UNSUPPORTED", message)
        assert statuses(http, "deletes/children", "child", "index") == [200, 200]


@pytest.fixture(scope="module")
def public_image() -> Iterator[tuple[Server, MadeImage]]:
    """A server that lets the nameless pull, and the image `latest` in its `deletes/public`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env={"ECRATE_ANONYMOUS_PULL": "true"}) as running,
        running.http() as http,
    ):
        running.ecr().create_repository(repositoryName="deletes/public")
        open_to_all(running.ecr(), "deletes/public")
        image = make_image()
        push_image(http, "deletes/public", image, "latest")
        push_blob(http, "deletes/public", CONTENT)
        yield running, image


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("manifests/latest", id="tag"),
        pytest.param("manifests/{image}", id="image"),
        pytest.param("manifests/no-such-tag", id="no-such-tag"),
        pytest.param(f"manifests/{UNKNOWN}", id="no-such-image"),
        pytest.param(f"blobs/{DIGEST}", id="blob"),
        pytest.param("blobs/{layer}", id="layer"),
        pytest.param(f"blobs/{UNKNOWN}", id="no-such-blob"),
        pytest.param("blobs/uploads/00000000-0000-4000-8000-000000000000", id="upload"),
    ],
)
def test_delete_takes_a_name(public_image: tuple[Server, MadeImage], path: str) -> None:
    server, image = public_image
    named = path.format(image=image.digest, layer=image.layers[0].digest)
    with httpx.Client(base_url=server.endpoint) as nameless:
        nameless.headers["Authorization"] = f"Bearer {nameless.get('/v2/token').json()['token']}"

        answer = nameless.delete(f"/v2/deletes/public/{named}")

        assert error_of(answer)[:2] == (401, "UNAUTHORIZED")
        assert statuses(nameless, "deletes/public", "latest", image.digest) == [200, 200]
        assert pull_blob(nameless, "deletes/public", DIGEST) == CONTENT


@pytest.mark.parametrize("path", ["manifests/latest", "manifests/{image}", "blobs/{blob}"])
def test_delete_in_another_account_finds_nothing(
    as_account: Callable[[str], Server], make_name: Callable[[], str], path: str
) -> None:
    owner, stranger = as_account("333333333333"), as_account("444444444444")
    repository = make_name()
    owner.ecr().create_repository(repositoryName=repository)
    host = {"Host": f"333333333333.dkr.ecr.us-east-1.localhost:{owner.port}"}
    image = make_image()
    with owner.http() as http, stranger.http() as strange:
        push_image(http, repository, image, "latest")
        push_blob(http, repository, CONTENT)
        named = path.format(image=image.digest, blob=DIGEST)

        answer = strange.delete(f"/v2/{repository}/{named}", headers=host)

        assert error_of(answer)[:2] == (404, "NAME_UNKNOWN")
        assert statuses(http, repository, "latest", image.digest) == [200, 200]
        assert pull_blob(http, repository, DIGEST) == CONTENT
