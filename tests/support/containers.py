"""podman and buildah, away from the machine's own containers."""

from __future__ import annotations

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


def make_program(name: str, folder: Path) -> Program:
    """Give `podman` or `buildah` with nothing in its store, logged in nowhere."""
    folders = {path: folder / path.strip("/").replace("/", "-") for path in _THEIRS}
    for ours in folders.values():
        ours.mkdir(parents=True)
    (folder / "containers.conf").write_text(_SETTINGS.format(folder=folder))
    (folder / "auth.json").write_text("{}")  # to be there is all that podman asks of it
    env = {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
        "XDG_RUNTIME_DIR": str(folder),
    }
    command = (find_program(name), "--storage-driver=vfs")
    return with_folders(Program(command, folder, env), folders)


def login(program: Program, server: Server) -> Program:
    """Log in with the root key."""
    options = ["--tls-verify=false", "--username", server.key_id, "--password-stdin"]
    program.output("login", *options, server.host, text=server.secret)
    return program
