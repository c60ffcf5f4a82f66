"""`python -m benchmarks.tls`: pulls of 256 MiB over TLS, beside docker-registry's, in turns.

Both serve what was pushed to them in the clear before, with one and the same certificate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.layers import MIB, Layer, Pool
from benchmarks.load import Connection, push
from benchmarks.servers import ECRATE, REGISTRY, Server, running

SIZE = 256 * MIB
_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {folder}/c.pem, key: {folder}/k.pem}}}}
"""


def main() -> None:
    """Measure and print medians of CPU seconds per GB and their ratio."""
    parser = argparse.ArgumentParser(prog="benchmarks.tls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_certificate(folder)
        pool = Pool(folder)
        layer = pool.new(SIZE)
        with running(folder, ECRATE, REGISTRY) as servers:
            for server in servers:
                connection = Connection(server)
                push(connection, pool, layer)
                connection.close()
        with _with_tls(folder, servers) as secured:
            costs: dict[str, list[float]] = {ECRATE: [], REGISTRY: []}
            for _ in range(rounds + 1):
                for server in secured:
                    before = server.cpu()
                    _pull(server, layer)
                    costs[server.name].append((server.cpu() - before) / (SIZE / 1e9))
    mine, theirs = (statistics.median(costs[name][1:]) for name in (ECRATE, REGISTRY))
    print(
        f"pull 256 MiB over TLS, CPU s/GB: ecrate {mine:.2f}, docker-registry {theirs:.2f}, "
        f"ratio {theirs / mine:.2f} (above 1 favours ecrate), {rounds} rounds"
    )


def _make_certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-keyout", str(folder / "k.pem")]
    subprocess.run([*command, "-out", str(folder / "c.pem")], check=True, capture_output=True)


@contextlib.contextmanager
def _with_tls(folder: Path, plain: list[Server]) -> Iterator[list[Server]]:
    """Start the servers again on their data and ports, now with TLS."""
    tokens = {server.name: server.authorization for server in plain}
    secured = []
    try:
        for server in plain:
            environment, command = dict(os.environ), [str(Path(sys.executable)), "-m", "ecrate"]
            if server.name == ECRATE:
                command += ["serve", "--port", str(server.port), "--data", str(server.data)]
                command += ["--workers", "2"]
                environment["ECRATE_TLS_CERTIFICATE"] = str(folder / "c.pem")
                environment["ECRATE_TLS_KEY"] = str(folder / "k.pem")
            else:
                config = folder / "tls.yml"
                values = {"root": server.data, "port": server.port, "folder": folder}
                config.write_text(_CONFIG.format(**values), encoding="utf-8")
                command = ["docker-registry", "serve", str(config)]
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            one = replace(server, process=process, authorization=tokens[server.name])
            secured.append(one)
            _wait(one)
        yield secured
    finally:
        for server in secured:
            server.stop()


def _connect(server: Server) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # made a moment ago, by this very process
    return context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)))


def _wait(server: Server) -> None:
    for _ in range(2000):
        with contextlib.suppress(OSError), _connect(server):
            return
        time.sleep(0.01)
    raise TimeoutError(f"{server.name} does not answer")


def _pull(server: Server, layer: Layer) -> None:
    request = f"GET /v2/bench/blobs/{layer.digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    buffer = memoryview(bytearray(MIB))
    with _connect(server) as connection:
        connection.sendall(request.encode() + server.authorization + b"Connection: close\r\n\r\n")
        head, received = b"", 0
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{server.name}: {head[:100]!r}")
        while received < layer.size and (count := connection.recv_into(buffer)):
            received += count
    if received != layer.size:
        raise RuntimeError(f"{server.name} gave {received} bytes")


if __name__ == "__main__":
    main()
