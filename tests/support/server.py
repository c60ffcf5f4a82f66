"""A real `ecrate serve` in a process group of its own, on a free loopback port."""

from __future__ import annotations

import configparser
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import httpx
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

REGION = "us-east-1"
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Server:
    """A running server; `env` holds the AWS variables that lead a client to it. `arguments` and
    `settings`, variables, are what it was started with beyond the usual.
    """

    process: subprocess.Popen[str]
    port: int
    data: Path
    key_id: str
    secret: str
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}"

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def iam(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `ecrate iam` on the server's database."""
        command = [sys.executable, "-m", "ecrate", "iam", "--data", str(self.data)]
        if "--database" in self.arguments:
            at = self.arguments.index("--database")
            command += self.arguments[at : at + 2]
        return subprocess.run(
            [*command, *words],
            env={**plain_environment(), **self.settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ecr(self, *, region: str = REGION, attempts: int = 1) -> ECRClient:
        """Give a boto3 client that signs with the root key."""
        return boto3.session.Session().client(
            "ecr",
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
            config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
        )

    def http(self) -> httpx.Client:
        """Give an HTTP client that logs in at the registry door with the root key."""
        return httpx.Client(base_url=self.endpoint, auth=(self.key_id, self.secret), timeout=30)

    def kill(self) -> None:
        """End all of the server's processes at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stop(self) -> int:
        """Ask the server to end and give its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode


def plain_environment() -> dict[str, str]:
    """Give this process's environment without settings for ecrate or its tests."""
    return {name: text for name, text in os.environ.items() if not name.startswith("ECRATE_")}


def start_server(
    data: Path,
    *arguments: str,
    env: dict[str, str] | None = None,
    key: tuple[str, str] | None = None,
    within: Sequence[str] = (),
) -> Server:
    """Start a server and return once it listens. Its clients sign with the root key that it has
    made, or with `key`, an id and a secret. `within` is what comes before its command.
    """
    command = [*within, sys.executable, "-m", "ecrate", "serve", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**plain_environment(), **(env or {})},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    if "listens on" not in first:
        process.communicate()
        raise RuntimeError(f"the server did not start: {first}")
    port = int(first.rsplit(":", 1)[1])
    return Server(process, port, data, *(key or read_key(data)), arguments, env or {})


def read_key(data: Path) -> tuple[str, str]:
    """Give id and secret of the root key."""
    file = configparser.ConfigParser()
    file.read(data / "credentials")
    key = file["default"]
    return key["aws_access_key_id"], key["aws_secret_access_key"]


@contextlib.contextmanager
def running_server(
    data: Path,
    *arguments: str,
    env: dict[str, str] | None = None,
    key: tuple[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server for a block; whatever is left of it afterwards is killed."""
    server = start_server(data, *arguments, env=env, key=key)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        server.kill()


def run_command(command: Sequence[str], server: Server) -> subprocess.CompletedProcess[str]:
    """Run a client program with the server's variables; its output is kept."""
    return subprocess.run(
        list(command),
        env={**os.environ, **server.env},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
