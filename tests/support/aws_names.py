"""A world in which AWS' own host names lead to an ecrate, over TLS, for who knows no others."""

from __future__ import annotations

import configparser
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import issue, make_authority
from tests.support.clients import Program, miss
from tests.support.namespaces import network
from tests.support.server import ACCOUNT, REGION, Server

REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
OTHER_NAME = "elsewhere.example"  # leads there as well, and no certificate has it
API = f"api.ecr.{REGION}.amazonaws.com"
TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"
# Set aside for examples (RFC 5737). Not loopback: there docker trusts whatever it is shown.
_ADDRESS = "198.51.100.1"


@dataclass(frozen=True)
class World:
    """`inside` stands before commands that run in it, `folder` is theirs."""

    inside: tuple[str, ...]
    folder: Path
    server: Server

    @property
    def env(self) -> dict[str, str]:
        """Variables of a machine set up for AWS: a key and a region, and no address."""
        return {
            **{name: value for name, value in self.server.env.items() if "ENDPOINT" not in name},
            "AWS_CA_BUNDLE": TRUST_STORE,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SSL_CERT_FILE": TRUST_STORE,
        }

    def program(self, *command: str, **env: str) -> Program:
        """Give a command that runs in this world."""
        return Program((*self.inside, *command), self.folder, {**self.env, **env})


@contextlib.contextmanager
def aws_names(folder: Path) -> Iterator[World]:
    """Run an ecrate for a block at AWS' names and port 443, in a network of its own."""
    if not Path(TRUST_STORE).exists():
        miss(f"there is no trust store {TRUST_STORE} (package ca-certificates)")
    authority = make_authority(folder / "authority")
    names = f"DNS:{API}, DNS:*.dkr.ecr.{REGION}.amazonaws.com"
    pair = issue(authority, "server", names=names)
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{_ADDRESS} {API} {REGISTRY} {OTHER_NAME}\n")
    mounts = {"/etc/hosts": hosts, TRUST_STORE: authority.certificate}
    with network(mounts, f"{_ADDRESS}/32") as inside:
        command = [sys.executable, "-m", "ecrate", "serve", "--host", _ADDRESS, "--port", "443"]
        data = folder / "data"
        env = {
            "ECRATE_TLS_CERTIFICATE": str(pair.certificate),
            "ECRATE_TLS_KEY": str(pair.key),
            "ECRATE_REGISTRY_HOST": "{account}.dkr.ecr.{region}.amazonaws.com",
        }
        with _serving([*inside, *command, "--data", str(data)], env, data) as server:
            yield World(inside, folder, server)


@contextlib.contextmanager
def _serving(command: list[str], env: dict[str, str], data: Path) -> Iterator[Server]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **env},
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "listens on" in first, first
        file = configparser.ConfigParser()
        file.read(data / "credentials")
        key = file["default"]
        secret = key["aws_secret_access_key"]
        server = Server(process, 443, data, key["aws_access_key_id"], secret)
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=60)
