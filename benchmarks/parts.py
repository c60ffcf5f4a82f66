"""UploadLayerPart: parts of 20 MiB, as base64 in JSON, and what each step of taking one costs."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import socket
import statistics
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pybase64

from benchmarks.bench import Bench, measured
from benchmarks.children import Child
from benchmarks.layers import MIB, Layer
from benchmarks.load import connect, verify
from benchmarks.report import Line
from benchmarks.servers import ECRATE, Server
from benchmarks.signing import call, signed_head
from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.hashing import new_hasher
from tests.support.rows import Uploads

PART = 20 * MIB
_BASE64_PIECE = MIB  # characters ecrate decodes at a time


class Part:
    """One part's bytes, new to every server."""

    def __init__(self) -> None:
        self.bytes = os.urandom(PART)
        self.base64 = b64encode(self.bytes)

    def digest(self, count: int) -> str:
        """Give the digest of a layer of this part `count` times over."""
        hasher = hashlib.sha256()
        for _ in range(count):
            hasher.update(self.bytes)
        return f"sha256:{hasher.hexdigest()}"


def start_upload(server: Server) -> str:
    answer = call(server.port, server.key, "InitiateLayerUpload", {"repositoryName": "bench"})
    return str(answer["uploadId"])


def complete(server: Server, upload: str, digest: str) -> str:
    """Complete an upload, which compares the digest, and give the server's."""
    parameters = {"repositoryName": "bench", "uploadId": upload, "layerDigests": [digest]}
    answer = call(server.port, server.key, "CompleteLayerUpload", parameters)
    return str(answer["layerDigest"])


def push_parts(server: Server, part: Part, uploads: Sequence[str], waves: int) -> float:
    """Send `waves` parts to each upload, to all uploads at once; give the seconds."""
    failures: list[BaseException] = []
    seconds = 0.0
    for number in range(waves):
        pieces = [_body(part, upload, number) for upload in uploads]
        heads = [
            signed_head(server.port, server.key, "UploadLayerPart", b"".join(body))
            for body in pieces
        ]
        jobs = list(zip(heads, pieces, strict=True))
        threads = [
            threading.Thread(target=_send, args=(server, head, body, failures))
            for head, body in jobs
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds += time.perf_counter() - began
        if failures:
            raise failures[0]
    return seconds


def _body(part: Part, upload: str, number: int) -> tuple[bytes, bytes, bytes]:
    members = {
        "repositoryName": "bench",
        "uploadId": upload,
        "partFirstByte": number * PART,
        "partLastByte": (number + 1) * PART - 1,
    }
    start = json.dumps(members)[:-1] + ', "layerPartBlob": "'
    return start.encode(), part.base64, b'"}'


def _send(
    server: Server, head: bytes, body: tuple[bytes, bytes, bytes], failures: list[BaseException]
) -> None:
    try:
        with connect(server) as connection:
            connection.sendall(head)
            for piece in body:
                connection.sendall(piece)
            answer = connection.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"UploadLayerPart was answered {answer!r}")  # noqa: TRY301
    except BaseException as error:  # noqa: BLE001 - raised by the main thread
        failures.append(error)


def measure_parts(bench: Bench) -> Iterator[Line]:
    """CPU of UploadLayerPart through boto3 for each GB of layer, and the steps it is made of."""
    name, count = "UploadLayerPart 20 MiB, boto3", 6 if bench.is_quick else 12
    costs, rates, size = [], [], count * PART
    with bench.running(ECRATE) as (server,):
        for number in range(bench.rounds + 1):
            part, upload = Part(), start_upload(server)
            wall, cpu = measured(server, partial(_upload, server, part, upload, count))
            if number:
                costs.append(cpu / size * 1e9)
                rates.append(size / wall / 1e9)
                bench.add(name, ECRATE, work=size, wall=wall, cpu=cpu)
            if number == bench.rounds:
                verify(server, Layer(size, b"", complete(server, upload, part.digest(count))))
            server.forget_layers()
        steps = _steps(server.data.parent / "steps")
    total = statistics.median(costs)
    yield Line(name, "CPU s/GB of layer", total)
    yield Line(name, "GB/s of layer", statistics.median(rates))
    for step, cost in steps.items():
        bench.add(name, "in process", step=step, cpu_per_gb=cost)
        yield Line(f"  {step}", "CPU s/GB of layer", cost)
    yield Line("  all else: HTTP, threads, SQL", "CPU s/GB of layer", total - sum(steps.values()))


def _upload(server: Server, part: Part, upload: str, count: int) -> float:
    import boto3  # noqa: PLC0415 - costs half a second, and the parent has no use for it

    ecr = boto3.session.Session().client(
        "ecr",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        aws_access_key_id=server.key.id,
        aws_secret_access_key=server.key.secret,
    )
    began = time.perf_counter()
    for number in range(count):
        ecr.upload_layer_part(
            repositoryName="bench",
            uploadId=upload,
            partFirstByte=number * PART,
            partLastByte=(number + 1) * PART - 1,
            layerPartBlob=part.bytes,
        )
    return time.perf_counter() - began


def _steps(folder: Path) -> dict[str, float]:
    """Do in this process what the server does with a part; give CPU seconds per GB of layer."""
    part = Part()
    body = b"".join(_body(part, "0" * 36, 0))
    buffer = mmap.mmap(-1, len(body))
    _copy(body, buffer)
    raw, blobs = _raw(buffer), FilesystemBlobs(folder)
    return {
        "receive from the socket": _receive_cost(body),
        "copy to the shared buffer": _cost(lambda: _copy(body, buffer)),
        "SHA-256 of the body, for SigV4": _cost(lambda: hashlib.sha256(body).digest()),
        "JSON, leaving the part alone": _cost(lambda: _raw(buffer)),
        "base64": _cost(lambda: _decode(raw)),
        "SHA-256 of the layer, resumable": _cost(lambda: new_hasher("sha256").update(part.bytes)),
        "write and fdatasync": _cost(lambda: _write(blobs, part.bytes)),
    }


def _cost(step: Callable[[], object]) -> float:
    step()
    times = []
    for _ in range(7):
        before = time.process_time()
        step()
        times.append(time.process_time() - before)
    return statistics.median(times) / PART * 1e9


def _copy(body: bytes, buffer: mmap.mmap) -> None:
    buffer.seek(0)
    for start in range(0, len(body), MIB):
        buffer.write(memoryview(body)[start : start + MIB])


def _raw(buffer: mmap.mmap) -> msgspec.Raw:
    return msgspec.json.decode(memoryview(buffer), type=dict[str, msgspec.Raw])["layerPartBlob"]


def _decode(raw: msgspec.Raw) -> None:
    encoded = memoryview(raw)[1:-1]
    for start in range(0, len(encoded), _BASE64_PIECE):
        pybase64.b64decode(encoded[start : start + _BASE64_PIECE], validate=True)


def _write(blobs: FilesystemBlobs, data: bytes) -> None:
    key = os.urandom(16).hex()
    pieces = range(0, len(data), 3 * _BASE64_PIECE // 4)
    Uploads(blobs).write(
        key, *(memoryview(data)[start : start + 3 * _BASE64_PIECE // 4] for start in pieces)
    )
    blobs.delete(key)


def _receive_cost(body: bytes) -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> float:
            with socket.create_connection(listener.getsockname()) as connection:
                for _ in range(8):
                    connection.sendall(body)
            return 0.0

        with Child(send):
            connection, _ = listener.accept()
            buffer = memoryview(bytearray(MIB))

            def receive() -> None:
                left = len(body)
                while left:
                    left -= connection.recv_into(buffer, min(left, MIB))

            with connection:
                return _cost(receive)
