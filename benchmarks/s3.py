"""`python -m benchmarks.s3`: pushes to and pulls from ecrate on a SeaweedFS of its own.

CPU is that of ecrate's processes, or of this one where a step is measured by itself; the store's
does not count. What SeaweedFS manages on the same cores bounds all rates, so none is printed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import itertools
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.bench import measured
from benchmarks.layers import MIB, Pool
from benchmarks.load import drive, push_all
from benchmarks.scenarios import request_for
from benchmarks.servers import Server, open_repository, start_ecrate
from ecrate.blobs.s3.bucket import Bucket
from tests.support.s3 import url_of
from tests.support.seaweed import BUCKET, KEY, S3Server, find_weed, running_seaweed

_SIZE = 256 * MIB
_PART = 20 * MIB
_SMALL = 64 * 1024
_COUNT = 100
_PULLS = 1000


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(prog="benchmarks.s3", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    program = find_weed()
    if program is None:
        sys.exit("weed of SeaweedFS is not installed")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        with running_seaweed(program, folder / "store") as store:
            for step, unit, cost in itertools.chain(_transfers(store), _served(store, folder)):
                figures = [cost() for _ in range(rounds + 1)][1:]
                print(f"{step:44} {statistics.median(figures):8.3g} {unit}", flush=True)


def _transfers(store: S3Server) -> Iterator[tuple[str, str, Callable[[], float]]]:
    """What a part costs on its way to the store, by each way to send it."""
    pieces = [memoryview(bytearray(MIB)) for _ in range(_PART // MIB)]
    bucket, client = Bucket(store.make_address(), KEY), store.client()
    url = client.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "b"})

    def put_as_botocore_does() -> None:
        client.put_object(Bucket=BUCKET, Key="b", Body=b"".join(pieces))

    def put_presigned() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", store.port)
        path = url.removeprefix(store.endpoint)
        _crc32(pieces)  # not sent: it would have to be signed with the URL
        headers = {"Content-Length": str(_PART)}
        connection.request("PUT", path, body=iter(pieces), headers=headers)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the store refused a part: {answer.read()!r}")
        connection.close()

    ways: dict[str, Callable[[], Any]] = {
        "CRC-32 alone": partial(_crc32, pieces),
        "put 20 MiB, botocore as it comes": put_as_botocore_does,
        "put 20 MiB, presigned, http.client, CRC-32": put_presigned,
        "put 20 MiB, as ecrate does (botocore, CRC-32)": partial(bucket.put, "b", pieces),
    }
    for name, way in ways.items():
        yield name, "CPU s/GB", partial(_cost, way, 4, 1e9 / _PART)
    yield "put 1 KiB, as ecrate does", "CPU us", partial(_cost, _small_put(bucket), 200, 1e6)
    yield "presigned URL", "CPU us", partial(_cost, partial(bucket.url, "b", 60), 2000, 1e6)


def _small_put(bucket: Bucket) -> Callable[[], None]:
    return partial(bucket.put, "b", [bytes(1024)])


def _crc32(pieces: list[memoryview]) -> str:
    value = 0
    for piece in pieces:
        value = zlib.crc32(piece, value)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _cost(work: Callable[[], Any], count: int, scale: float) -> float:
    before = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - before) / count * scale


@contextlib.contextmanager
def _running(store: S3Server, folder: Path, *, redirects: bool) -> Iterator[Server]:
    config = folder / f"{uuid4()}.toml"
    config.write_text(
        f'blobs = "{url_of(store.make_address())}"\n'
        f"blob_redirects = {'true' if redirects else 'false'}\n"
        f's3_access_key_id = "{KEY.key_id}"\ns3_secret_access_key = "{KEY.secret}"\n',
        encoding="utf-8",
    )
    server = start_ecrate(folder / str(uuid4()), "--config", str(config))
    try:
        open_repository(server, has_repository=True)
        yield server
    finally:
        server.stop()


def _served(store: S3Server, folder: Path) -> Iterator[tuple[str, str, Callable[[], float]]]:
    """What ecrate's processes spend on requests at the registry door."""
    pool = Pool(folder)
    with _running(store, folder, redirects=False) as server:
        whole = pool.new(_SIZE)
        push_all(server, pool, [[whole]])
        pull = request_for(server, "GET", f"/v2/bench/blobs/{whole.digest}")

        def pushes(size: int, count: int, *, in_chunks: bool = False) -> float:
            layers = [pool.new(size) for _ in range(count)]
            run = partial(push_all, server, pool, [layers], in_chunks=in_chunks)
            return measured(server, run)[1] / count

        def passes_on() -> float:
            return measured(server, lambda: drive(server, [pull] * 2, 1).seconds)[1] / 2

        yield "push 256 MiB", "CPU s/GB", lambda: pushes(_SIZE, 1) / _SIZE * 1e9
        chunked = partial(pushes, _SIZE, 1, in_chunks=True)
        yield "push 256 MiB in chunks", "CPU s/GB", lambda: chunked() / _SIZE * 1e9
        yield "push 64 KiB", "CPU us", lambda: pushes(_SMALL, _COUNT) * 1e6
        yield "pull 256 MiB, passed on", "CPU s/GB", lambda: passes_on() / _SIZE * 1e9
        yield "memory after that (PSS)", "MiB", lambda: server.memory()[1] / MIB
    with _running(store, folder, redirects=True) as server:
        small = pool.new(_SMALL)
        push_all(server, pool, [[small]])
        get = request_for(server, "GET", f"/v2/bench/blobs/{small.digest}")

        def redirects() -> float:
            run = partial(drive, server, [get] * _PULLS, 1, status=307)
            return measured(server, lambda: run().seconds)[1] / _PULLS

        yield "pull, sent on to the store", "CPU us", lambda: redirects() * 1e6


if __name__ == "__main__":
    main()
