"""Uploads: limits, idle clients, digests that have to be read again, and whose an upload is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from ecrate.domain.errors import (
    ExpiredToken,
    InvalidLayer,
    LayerNotFound,
    LimitExceeded,
    RepositoryNotFound,
    UploadNotFound,
)
from ecrate.domain.layers import MAX_PARTS, MIN_PART_SIZE
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.operations import layers, repositories, uploads
from ecrate.operations.core import Limits
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import digest_of

CONTENT = b"the layer"
DIGEST = digest_of(CONTENT)
SHA512 = f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"


def forget_hash_state(bench: Bench) -> None:
    """Leave the upload as a worker does that has no libcrypto."""
    with bench.writing() as tx:
        tx.run("UPDATE uploads SET hash_state = ?", b"")


@pytest.mark.parametrize(
    "digest", [pytest.param(DIGEST, id="sha256"), pytest.param(SHA512, id="sha512")]
)
def test_complete_reads_the_bytes_again_without_a_hash_state(
    bench: Bench, one: RepositoryRef, digest: str
) -> None:
    upload_id = bench.begin(one, CONTENT)
    forget_hash_state(bench)

    stored = bench.complete(one, upload_id, digest)

    assert stored == digest


def test_complete_that_was_cut_off_reads_the_bytes_again(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.blobs.commit(upload_id, b"")
    forget_hash_state(bench)

    stored = bench.complete(one, upload_id, DIGEST)

    assert stored == DIGEST


def test_part_goes_on_without_a_hash_state(bench: Bench, one: RepositoryRef) -> None:
    first = bytes(MIN_PART_SIZE)
    upload_id = bench.begin(one, first)
    forget_hash_state(bench)
    bench.send(one, upload_id, len(first), CONTENT)

    stored = bench.complete(one, upload_id, digest_of(first + CONTENT))

    assert stored == digest_of(first + CONTENT)


def test_complete_finds_bytes_that_changed_on_the_disk(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)
    forget_hash_state(bench)
    (bench.folder / "uploads" / upload_id).write_bytes(b"THE LAYER")

    with pytest.raises(InvalidLayer):
        bench.complete(one, upload_id, DIGEST)

    assert not bench.has(one, DIGEST)


def test_complete_without_its_bytes_is_not_found(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.blobs.delete(upload_id)

    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id, DIGEST)


def test_part_after_bytes_that_were_lost_is_refused(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, bytes(MIN_PART_SIZE))
    (bench.folder / "uploads" / upload_id).write_bytes(b"less")

    with pytest.raises(UploadNotFound):
        bench.send(one, upload_id, MIN_PART_SIZE, CONTENT)


def test_part_drops_what_an_earlier_one_left_behind(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one)
    with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
        writer.write(b"of a client that was cut off before the end")

    bench.send(one, upload_id, 0, CONTENT)

    assert bench.complete(one, upload_id, DIGEST) == DIGEST
    assert bench.read(one, DIGEST) == CONTENT


def test_part_of_another_principal_does_not_find_the_upload(
    bench: Bench, one: RepositoryRef
) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.caller = replace(bench.caller, arn="arn:aws:iam::123456789012:user/other")

    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id, DIGEST)


def test_upload_of_another_account_does_not_find_the_repository(
    bench: Bench, one: RepositoryRef
) -> None:
    bench.caller = replace(bench.caller, registry=RegistryRef("210987654321", "us-east-1"))

    with pytest.raises(RepositoryNotFound, match="123456789012"):
        bench.begin(one)


def test_upload_has_at_most_4200_parts(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, bytes(MIN_PART_SIZE))
    with bench.writing() as tx:
        tx.run("UPDATE uploads SET parts = ?", MAX_PARTS - 1)
    bench.send(one, upload_id, MIN_PART_SIZE, CONTENT)

    with pytest.raises(LimitExceeded, match="at most 4200 parts"):
        bench.send(one, upload_id, MIN_PART_SIZE + len(CONTENT), CONTENT)


@pytest.mark.parametrize(
    ("size", "fits"), [pytest.param(9, True, id="limit"), pytest.param(8, False, id="beyond")]
)
def test_upload_has_at_most_so_many_bytes(
    make_bench: Callable[..., Bench], size: int, *, fits: bool
) -> None:
    bench = make_bench(limits=Limits(layer_size=size))
    upload_id = bench.begin(bench.create())

    with uploads.LayerWriter(bench.core, bench.caller, bench.ref("one"), upload_id) as writer:
        refused = _refuses(writer, CONTENT)

    assert refused != fits


def _refuses(writer: uploads.LayerWriter, content: bytes) -> bool:
    try:
        writer.write(content)
    except LimitExceeded as error:
        return str(error) == "A layer can have at most 8 bytes"
    return False


def test_upload_of_a_slow_client_is_not_idle(
    bench: Bench, one: RepositoryRef, make_bench: Callable[..., Bench]
) -> None:
    upload_id = bench.begin(one)
    collector = make_bench()
    with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
        bench.clock.advance(DAY)
        writer.write(CONTENT)
        collector.clock.advance(DAY + 1)
        with collector.reading() as tx:
            (touched_at,) = tx.one("SELECT touched_at FROM uploads") or (0.0,)

    assert touched_at == bench.clock.now


def test_writer_tells_the_size_with_what_is_not_counted_yet(
    bench: Bench, one: RepositoryRef
) -> None:
    upload_id = bench.begin(one)

    with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
        writer.write(CONTENT)
        seen, counted = writer.size, writer.upload.size
        committed = writer.commit()

    assert (seen, counted, committed) == (9, 0, 9)


def test_download_expires_after_an_hour(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    seal = layers.get_download_url_for_layer(bench.core, bench.caller, one, DIGEST).seal
    bench.clock.advance(HOUR)
    in_time = layers.find_layer_to_download(bench.core, seal)
    bench.clock.advance(1)

    with pytest.raises(ExpiredToken):
        layers.find_layer_to_download(bench.core, seal)

    assert in_time.digest.text == DIGEST


def test_download_of_a_layer_that_is_gone_is_not_found(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    seal = layers.get_download_url_for_layer(bench.core, bench.caller, one, DIGEST).seal
    repositories.delete_repository(bench.core, bench.caller, one, force=False)
    bench.store(bench.create("one"), CONTENT)

    with pytest.raises(LayerNotFound):
        layers.find_layer_to_download(bench.core, seal)
