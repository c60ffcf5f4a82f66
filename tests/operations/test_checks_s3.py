"""What a check finds where blobs are objects of an S3 store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.store import S3Blobs
from ecrate.domain.errors import StoreUnavailable
from ecrate.operations.collection import collect
from tests.support.checking import check, pull, whole
from tests.support.core import DAY, HOUR, Bench, Clock
from tests.support.images import make_image
from tests.support.proxy import NOT_IMPLEMENTED, Proxy, answering, from_now_on, running_proxy
from tests.support.seaweed import BUCKET, KEY, S3Server

pytestmark = pytest.mark.s3


@pytest.fixture
def address(s3_server: S3Server) -> S3Address:
    return s3_server.make_address()


@pytest.fixture
def bench(tmp_path: Path, address: S3Address) -> Iterator[Bench]:
    """A core whose blobs are in the store, two days from now."""
    clock = Clock(time.time() + 2 * DAY)
    made = Bench(tmp_path, clock=clock, blob_store=S3Blobs(address, KEY))
    yield made
    made.close()


def key_of(bench: Bench, digest: str) -> str:
    with bench.reading() as tx:
        (key,) = tx.one("SELECT key FROM blobs WHERE digest = ?", digest) or ("",)
    return str(key)


def cut_answers(proxy: Proxy) -> None:
    """Let every download break off in the middle."""
    proxy.cuts = from_now_on("GET")


def answer_nothing(proxy: Proxy) -> None:
    """Let every question fail whether an object is there."""
    proxy.answers = answering("HEAD", NOT_IMPLEMENTED)


def test_objects_are_compared_with_rows(
    bench: Bench, s3_server: S3Server, address: S3Address
) -> None:
    one, image = bench.create("one"), make_image(1000, 2000, 3000)
    bench.push(one, image, "v1")
    gone, cut, corrupt = (key_of(bench, layer.digest) for layer in image.layers)
    client = s3_server.client()
    client.delete_object(Bucket=BUCKET, Key=f"{address.prefix}{gone}")
    for key, content in ((cut, b"x"), (corrupt, bytes(3000))):
        client.put_object(Bucket=BUCKET, Key=f"{address.prefix}{key}", Body=content)

    found = check(bench, repairs=True)
    said_to_be_there = [bench.has(one, layer.digest) for layer in image.layers]
    for layer in image.layers:
        bench.store(one, layer.content)

    kinds = {finding.kind: finding.what for finding in found}
    assert kinds == {
        "missing-blob": image.layers[0].digest,
        "cut-blob": image.layers[1].digest,
        "corrupt-blob": image.layers[2].digest,
    }
    assert said_to_be_there == [False] * 3
    assert check(bench) == []
    assert pull(bench, one, image) == whole(image)
    bench.clock.advance(2 * HOUR)
    collect(bench.core)
    assert check(bench) == []


def test_orphans_and_given_up_multiparts_go_into_quarantine(
    bench: Bench, s3_server: S3Server, address: S3Address
) -> None:
    client, name = s3_server.client(), "00000000-0000-4000-8000-00000000000"
    client.put_object(Bucket=BUCKET, Key=f"{address.prefix}{name}1", Body=b"orphan")
    client.create_multipart_upload(Bucket=BUCKET, Key=f"{address.prefix}{name}2")

    found = check(bench, repairs=True)
    left = check(bench)
    bench.clock.advance(2 * HOUR)
    collect(bench.core)

    assert sorted(finding.what for finding in found) == [f"{name}1", f"{name}2"]
    assert left == []
    assert list(bench.core.blobs.list_keys(float("inf"))) == []


@pytest.mark.parametrize("harm", [cut_answers, answer_nothing])
def test_store_that_breaks_off_is_no_damage(
    tmp_path: Path, s3_server: S3Server, harm: Callable[[Proxy], None]
) -> None:
    with running_proxy(s3_server.port) as proxy:
        blobs = S3Blobs(s3_server.make_address(endpoint=proxy.endpoint), KEY)
        bench = Bench(tmp_path, blob_store=blobs)
        bench.push(bench.create("one"), make_image(100_000), "v1")
        harm(proxy)

        with pytest.raises(StoreUnavailable):
            check(bench, repairs=True)

        with bench.reading() as tx:
            assert tx.one("SELECT count(*) FROM blobs WHERE lost_at IS NOT NULL") == (0,)
        bench.close()
