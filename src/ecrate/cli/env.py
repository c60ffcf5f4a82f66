"""`ecrate env`: the lines that point a shell's AWS tools at the server."""

from __future__ import annotations

import argparse
import configparser
import shlex
import sys
from pathlib import Path

from ecrate.cli.options import CommandParser

SUMMARY = "print the variables a shell needs to use the server"


def _parser() -> argparse.ArgumentParser:
    made = CommandParser(
        prog="ecrate env",
        description='Print shell variables for the AWS tools: eval "$(ecrate env)".',
    )
    made.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    made.add_argument("--endpoint-url", metavar="URL", help="where the server was started last")
    made.add_argument("--region", default="us-east-1")
    return made


def run(arguments: list[str]) -> int:
    """Print `export` lines for access key, region and endpoint."""
    options = _parser().parse_args(arguments)
    data = options.data.expanduser()
    credentials = data / "credentials"
    file = configparser.ConfigParser()
    try:
        with credentials.open(encoding="utf-8") as opened:
            file.read_file(opened)
        key = file["default"]
        values = {
            "AWS_ACCESS_KEY_ID": key["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["aws_secret_access_key"],
        }
        endpoint = options.endpoint_url or (data / "endpoint").read_text(encoding="utf-8").strip()
    except (OSError, KeyError, configparser.Error):
        print(
            f"ecrate: there are no credentials in {credentials}; "
            "start the server once, or name its data directory with --data",
            file=sys.stderr,
        )
        return 1
    values["AWS_DEFAULT_REGION"] = options.region
    values["AWS_ENDPOINT_URL"] = endpoint
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
