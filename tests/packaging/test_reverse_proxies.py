"""The examples for nginx and Caddy before a server: what clients, policies and URIs see."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from tests.support.certificates import Pair, issue, make_authority
from tests.support.clients import find_program
from tests.support.server import REGION, Server, running_server

pytestmark = pytest.mark.clients

EXAMPLES = Path(__file__).parents[2] / "packaging/proxy"
_MAIN = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {example}
}}
"""
MIB = 1024 * 1024


@dataclass(frozen=True)
class Behind:
    """A server behind a proxy."""

    server: Server
    port: int
    authority: Pair
    folder: Path

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def http(self, address: str = "127.0.0.1") -> httpx.Client:
        """Give a client at an address of this machine."""
        auth = (self.server.key_id, self.server.secret)
        context = self.authority.context
        transport = httpx.HTTPTransport(verify=context, local_address=address)
        return httpx.Client(
            base_url=f"https://{self.host}", auth=auth, transport=transport, timeout=60
        )

    def audit(self) -> list[dict[str, object]]:
        text = (self.server.data / "audit.log").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("proxy")
    authority = make_authority(folder / "authority")
    pair = issue(authority, "proxy")
    data = folder / "data"
    env = {"ECRATE_TRUSTED_PROXIES": "127.0.0.1", "ECRATE_AUDIT_LOG": str(data / "audit.log")}
    prepare = {"nginx": _nginx, "caddy": _caddy}[request.param]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with running_server(data, "--workers", "1", env=env) as server:
        command = prepare(folder, server.port, port, pair)
        with _running(command, folder, port):
            yield Behind(server, port, authority, folder)


def _nginx(folder: Path, server_port: int, port: int, pair: Pair) -> list[str]:
    """Write its configuration and give its command."""
    example = _changed(
        "nginx.conf",
        {
            "127.0.0.1:5100": f"127.0.0.1:{server_port}",
            "listen 443": f"listen 127.0.0.1:{port}",
            "server_name registry.example *.registry.example": "server_name localhost",
            "/etc/ssl/registry.example.pem": str(pair.certificate),
            "/etc/ssl/private/registry.example.key": str(pair.key),
        },
    )
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, example=example))
    return [find_program("nginx"), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def _caddy(folder: Path, server_port: int, port: int, pair: Pair) -> list[str]:
    """Write its configuration and give its command."""
    example = _changed(
        "Caddyfile",
        {
            "reverse_proxy 127.0.0.1:5100": f"reverse_proxy 127.0.0.1:{server_port}",
            "registry.example {": f"https://localhost:{port} {{\n\tbind 127.0.0.1\n"
            f"\ttls {pair.certificate} {pair.key}",
        },
    )
    options = (
        f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}\n}}\n"
    )
    (folder / "Caddyfile").write_text(options + example)
    return [find_program("caddy"), "run", "--config", f"{folder}/Caddyfile"]


def _changed(name: str, changes: dict[str, str]) -> str:
    """Give an example with nothing but names, ports and files changed."""
    example = (EXAMPLES / name).read_text()
    for given, ours in changes.items():
        assert example.count(given) == 1, given
        example = example.replace(given, ours)
    return example


@contextlib.contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=env, stderr=log) as it:
        try:
            _wait(port, it)
            yield
        finally:
            it.terminate()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise RuntimeError("the proxy did not start")


def test_signed_calls_pass_and_uris_are_those_of_the_proxy(behind: Behind) -> None:
    ecr = boto3.client(
        "ecr",
        region_name=REGION,
        endpoint_url=f"https://{behind.host}",
        aws_access_key_id=behind.server.key_id,
        aws_secret_access_key=behind.server.secret,
        verify=str(behind.authority.certificate),
        config=Config(retries={"total_max_attempts": 1}),
    )

    made = ecr.create_repository(repositoryName="uris")["repository"]
    token = ecr.get_authorization_token()["authorizationData"][0]
    ecr.close()

    assert made["repositoryUri"] == f"{behind.host}/uris"
    assert token["proxyEndpoint"] == f"https://{behind.host}"


def test_challenge_and_locations_lead_to_the_proxy(behind: Behind) -> None:
    with behind.http() as http:
        refused = http.get("/v2/", auth=("AWS", "wrong"))
        challenge = httpx.get(f"https://{behind.host}/v2/", verify=behind.authority.context)
        behind.server.ecr().create_repository(repositoryName="locations")
        begun = http.post("/v2/locations/blobs/uploads/")

    assert f'realm="https://{behind.host}/"' in challenge.headers["WWW-Authenticate"]
    assert refused.status_code in {400, 401, 403}
    assert begun.status_code == 202
    at = httpx.URL(f"https://{behind.host}/").join(begun.headers["Location"])
    assert f"https://{at.host}:{at.port}" == f"https://{behind.host}"


def test_audit_log_has_the_address_of_the_client_and_not_what_it_says(behind: Behind) -> None:
    with behind.http("127.0.0.2") as http:
        behind.server.ecr().create_repository(repositoryName="audited")
        begun = http.post(
            "/v2/audited/blobs/uploads/",
            headers={"X-Forwarded-For": "192.0.2.1", "User-Agent": "through-a-proxy"},
        )
    assert begun.status_code == 202

    (line,) = [one for one in behind.audit() if one["userAgent"] == "through-a-proxy"]
    assert line["sourceIPAddress"] == "127.0.0.2"


def test_large_body_arrives_while_it_is_sent(behind: Behind) -> None:
    """The first half is stored before the second is sent: nothing on the way waits for all."""
    behind.server.ecr().create_repository(repositoryName="large")
    content = bytes(MIB) * 32
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with behind.http() as http:
        at = http.post("/v2/large/blobs/uploads/").headers["Location"]
        path = httpx.URL(at).raw_path.decode()
        head = (
            f"PUT {path}{'&' if '?' in path else '?'}digest={digest} HTTP/1.1\r\n"
            f"Host: {behind.host}\r\nContent-Length: {len(content)}\r\n"
            f"Authorization: {_basic(behind)}\r\nConnection: close\r\n\r\n"
        )
        with _tls(behind) as client:
            client.sendall(head.encode() + content[: 16 * MIB])
            _until_stored(behind.server.data / "uploads", 8 * MIB)
            client.sendall(content[16 * MIB :])
            status = client.recv(12)
        pulled = http.get(f"/v2/large/blobs/{digest}")

    assert status == b"HTTP/1.1 201"
    assert pulled.content == content
    assert [path for path in (behind.folder / "bodies").rglob("*") if path.is_file()] == []


def _basic(behind: Behind) -> str:
    auth = httpx.BasicAuth(behind.server.key_id, behind.server.secret)
    request = next(auth.auth_flow(httpx.Request("GET", "http://x")))
    return str(request.headers["Authorization"])


def _tls(behind: Behind) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", behind.port), timeout=60)
    return behind.authority.context.wrap_socket(plain, server_hostname="localhost")


def _until_stored(folder: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while max((path.stat().st_size for path in folder.iterdir()), default=0) < size:
        assert time.monotonic() < deadline, "nothing arrives before all is sent"
        time.sleep(0.02)
