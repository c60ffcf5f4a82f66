"""A real S3 server, SeaweedFS, on free loopback ports and a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.presigning import Credentials

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

KEY = Credentials("AKIDSEAWEED", "secret/of+seaweed")
BUCKET = "layers"
PATIENCE = 60.0
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


@dataclass
class S3Server:
    """A store that may be killed, and started again on the same data at the same port."""

    command: tuple[str, ...]
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return once it takes an object."""
        log = self.folder / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stderr=output,
                stdout=output,
                cwd=self.folder,
                env=_environment(self.folder),
            )
        _wait(self, self.process, log)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> S3Client:
        """Give a boto3 client of the store's owner."""
        return boto3.session.Session().client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY.key_id,
            aws_secret_access_key=KEY.secret,
            config=Config(retries={"total_max_attempts": 3, "mode": "standard"}),
        )

    def make_address(self, **other: Any) -> S3Address:
        """Give an empty place in the bucket."""
        given = {"prefix": f"tests/{uuid4()}/", "endpoint": self.endpoint, **other}
        return S3Address(BUCKET, **given)


def find_weed() -> Path | None:
    """Find the program: it comes with the development requirements."""
    beside = Path(sys.executable).with_name("weed")
    found = shutil.which("weed")
    return beside if beside.exists() else Path(found) if found else None


@contextlib.contextmanager
def running_seaweed(program: Path, folder: Path) -> Iterator[S3Server]:
    """Run a store for a block."""
    ports = _free_ports(2 * len(_PORTS))
    command = (str(program), "-logtostderr=true", *_options(folder, ports))
    server = S3Server(command, folder, ports[2 * _PORTS.index("s3.port")])
    try:
        server.start()
        yield server
    finally:
        # In good order it would take a quarter of a minute, for data that nobody wants.
        server.kill()
        for kind, port in zip(_PORTS, ports[1::2], strict=True):
            name = kind.partition(".")[0]
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


def _options(folder: Path, ports: list[int]) -> Iterator[str]:
    data, config = folder / "data", folder / "s3.json"
    data.mkdir()
    key = {"accessKey": KEY.key_id, "secretKey": KEY.secret}
    owner = {
        "name": "owner",
        "credentials": [key],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [owner]}), encoding="utf-8")
    yield from ("server", "-s3", f"-dir={data}", f"-master.dir={data}", f"-s3.config={config}")
    yield from ("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false")
    yield from ("-master.volumeSizeLimitMB=1024", "-volume.max=400", "-volume.preStopSeconds=0")
    # A restarted master has nobody to wait for.
    yield "-master.electionTimeout=1s"
    yield from ("-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0")
    yield from (f"-{kind}.localSocket={folder / kind}.sock" for kind in ("filer", "s3"))
    for name, http, grpc in zip(_PORTS, ports[::2], ports[1::2], strict=True):
        yield from (f"-{name}={http}", f"-{name}.grpc={grpc}")


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "HOME": str(folder)}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the store takes an object: that is after all of its services found each other."""
    client, deadline = server.client(), time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ClientError, BotoCoreError):  # made by an earlier round
            client.create_bucket(Bucket=BUCKET)
        with contextlib.suppress(ClientError, BotoCoreError):
            client.put_object(Bucket=BUCKET, Key="first", Body=b"object")
            return
        time.sleep(0.2)
    raise RuntimeError(log.read_text(errors="replace")[-2000:])
