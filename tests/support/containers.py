"""podman and buildah, away from the machine's own containers."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.clients import Program, find_program
from tests.support.namespaces import with_folders
from tests.support.server import Server

# Where they keep images, locks and what runs; --root and --runroot would not move all of it.
_THEIRS = ("/var/lib", "/run", "/dev/shm")  # noqa: S108 - covered by folders of ours


_SETTINGS = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_config_dir = "{folder}/networks"
"""


@contextlib.contextmanager
def container_program(name: str) -> Iterator[Program]:
    """Give `podman` or `buildah` with nothing in its store, logged in nowhere."""
    command = (find_program(name), "--storage-driver=vfs")
    # Not in pytest's own folder, which would keep all those copies of layers for a while.
    with tempfile.TemporaryDirectory(prefix=f"ecrate-{name}-") as path:
        folder = Path(path)
        folders = {path: folder / path.strip("/").replace("/", "-") for path in _THEIRS}
        for ours in folders.values():
            ours.mkdir()
        (folder / "containers.conf").write_text(_SETTINGS.format(folder=folder))
        (folder / "auth.json").write_text("{}")  # to be there is all that podman asks of it
        env = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
            "XDG_RUNTIME_DIR": str(folder),
        }
        yield with_folders(Program(command, folder, env), folders)


def login(program: Program, server: Server) -> Program:
    """Log in with the root key."""
    options = ["--tls-verify=false", "--username", server.key_id, "--password-stdin"]
    program.output("login", *options, server.host, text=server.secret)
    return program
