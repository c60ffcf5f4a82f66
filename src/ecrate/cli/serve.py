"""`ecrate serve`: run the server."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from ecrate.cli.options import CommandParser

SUMMARY = "run the server"


def parser() -> CommandParser:
    """Give the command's parser; options left out are None, so that other sources count."""
    made = CommandParser(prog="ecrate serve", description="Run the registry server.")
    made.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    made.add_argument("--host", help="address to listen on (127.0.0.1)")
    made.add_argument("--port", help="port to listen on (5100); 0 takes a free one")
    made.add_argument("--data", metavar="DIR", help="data directory (./data)")
    made.add_argument("--workers", metavar="N", help="worker processes (one a core)")
    made.add_argument(
        "--database",
        metavar="URL",
        help="sqlite:///PATH (in the data directory) or postgresql://...",
    )
    made.add_argument(
        "--blobs",
        metavar="URL",
        help="file:///PATH (the data directory), or s3://BUCKET/PREFIX?endpoint=URL",
    )
    made.add_argument("--dev", action="store_true", default=None, help="accept any access key")
    made.add_argument(
        "--seed", metavar="FILE", help="repositories, policies and images to begin with, with --dev"
    )
    made.add_argument(
        "--dev-anywhere", action="store_true", default=None, help="--dev beyond loopback as well"
    )
    made.add_argument("--account-id", metavar="ID", help="account of the root key (000000000000)")
    made.add_argument("--region", help="default region (us-east-1)")
    return made


def run(arguments: list[str]) -> int:
    """Serve until SIGTERM; one line on standard error if it cannot start."""
    options: dict[str, Any] = vars(parser().parse_args(arguments))
    file = options.pop("config") or os.environ.get("ECRATE_CONFIG")
    from ecrate.settings import SettingError, trace_settings, with_sources

    sources: dict[str, str] = {}
    try:
        settings, sources = trace_settings(options, os.environ, Path(file) if file else None)
        from ecrate.web.logs import set_up_logs

        set_up_logs(settings.log_format)
        from ecrate.app import Started, run_server

        def tell(started: Started) -> None:
            print(_banner(settings.data, started, dev=settings.dev), flush=True)

        return run_server(settings, tell)
    except SettingError as error:
        print(f"ecrate: {with_sources(str(error), sources)}", file=sys.stderr)
        return 2


def _banner(data: Path, started: Any, *, dev: bool) -> str:
    address = started.endpoint.partition("://")[2]
    where = "" if data == Path("data") else f" --data {shlex.quote(str(data.absolute()))}"
    ecrate = _command()
    login = f"docker login --username AWS --password-stdin {address}"
    lines = [f"ecrate listens on {started.endpoint}"]
    if dev:
        lines.append("development mode: any access key is accepted")
    if started.credentials.exists():
        lines.append(f"credentials are in {started.credentials}")
    if started.new_key is not None:
        lines.append(
            f"the root key, shown this once: {started.new_key.id} {started.new_key.secret}"
        )
    lines += [
        "",
        "try next, in another shell:",
        f'  eval "$({ecrate} env{where})"',
        f"  {ecrate} ecr get-login-password | {login}",
        f"  {ecrate} ecr create-repository --repository-name hello",
        f"  docker tag IMAGE {address}/hello && docker push {address}/hello",
    ]
    return "\n".join(lines)


def _command() -> str:
    """Give what to type for `ecrate`: its path where another shell may not find the name."""
    own = Path(sys.executable).with_name("ecrate")
    if not own.exists() or shutil.which("ecrate") == str(own):
        return "ecrate"
    return shlex.quote(str(own))
