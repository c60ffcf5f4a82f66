"""Documents whose command blocks are run: a comment before a block says how, if not as it is.

    <!-- test: background -->       it serves until the end; the next one has to find it
    <!-- test: docker -->           only where docker is
    <!-- test: without docker -->   only where it is not
    <!-- test: not run, WHY -->

A block of `text` behind a block of `sh` is how that one's output has to end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.support.images import OCI_MANIFEST, MadeImage
from tests.support.layouts import write_layout
from tests.support.server import kill_group, plain_environment

ROOT: Final = Path(__file__).parents[2]
_PORT: Final = "5100"
_BLOCK: Final = re.compile(
    r"(?:^<!-- test: (?P<how>.*?) -->\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_START_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    text: str
    how: str
    printed: str


def blocks_of(document: str) -> list[Block]:
    """Give the blocks of `sh` in their order, each with what it has to print."""
    found = [match.groupdict(default="") for match in _BLOCK.finditer(document)]
    after = [*found[1:], {"language": "", "text": ""}]
    return [
        Block(one["text"], one["how"], other["text"] if other["language"] == "text" else "")
        for one, other in zip(found, after, strict=True)
        if one["language"] == "sh"
    ]


def run_blocks(
    document: str, folder: Path, env: Mapping[str, str] | None = None, *, docker: bool = False
) -> None:
    """Run a document's blocks as a reader would: one in the background, all others in one shell.

    The folder is like a checkout with its .venv; only the port is another than in the document.
    """
    _lay_checkout(folder)
    port = _free_port()
    blocks = blocks_of(document)
    away = "without docker" if docker else "docker"
    wanted = [one for one in blocks if one.how != away and not one.how.startswith("not run")]
    (served,) = [one for one in wanted if one.how == "background"]
    shell = [one for one in wanted if one is not served]
    variables = {**_environment(folder, port), **(env or {})}
    with _background(served, folder, port, variables):
        outputs = _outputs_of(shell, folder, port, variables)
    for block, output in zip(shell, outputs, strict=True):
        expected = block.printed.replace(_PORT, str(port))
        assert output.endswith(expected), f"{block.text}prints\n{output}"


def write_archive(file: Path, image: MadeImage) -> None:
    """Write the image as an OCI layout in a tar file."""
    layout = file.with_suffix("")
    write_layout(layout, [image], {"image": (image.manifest, OCI_MANIFEST)})
    with tarfile.open(file, "w") as archive:
        archive.add(layout, ".")
    shutil.rmtree(layout)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _lay_checkout(folder: Path) -> None:
    for name in ("Makefile", "requirements", "pyproject.toml", "tools", "src"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    # So `make` finds everything installed, as it is.
    (folder / ".venv" / ".stamp-run").touch()


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Give a user's environment, without what `make` and the AWS tools have left in ours."""
    own = {
        name: text
        for name, text in plain_environment().items()
        if not name.startswith(("AWS_", "MAKE", "MFLAGS"))
    }
    return own | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}",
        "ECRATE_PORT": str(port),
        "ECRATE_WORKERS": "1",
    }


@contextmanager
def _background(
    block: Block, folder: Path, port: int, variables: Mapping[str, str]
) -> Iterator[None]:
    process = subprocess.Popen(
        ["bash", "-ec", block.text],
        cwd=folder,
        env=variables,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_server(process, port)
        yield
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        kill_group(process)


def _await_server(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not answer"
        try:
            httpx.get(f"http://127.0.0.1:{port}/readyz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return


def _outputs_of(
    blocks: Sequence[Block], folder: Path, port: int, variables: Mapping[str, str]
) -> list[str]:
    """Run the blocks in one shell, until one fails; give what each printed."""
    mark = "-- end of a block --"
    script = "".join(f"{block.text}printf '%s\\n' '{mark}'\n" for block in blocks)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(_PORT, str(port))],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
    return ran.stdout.split(f"{mark}\n")[:-1]
