"""Servers of ours whose blobs are in an S3 store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ecrate.blobs.s3.address import S3Address
from tests.support.seaweed import KEY
from tests.support.server import Server, running_server


def url_of(address: S3Address) -> str:
    """Give the address as an operator writes it."""
    url = f"s3://{address.bucket}/{address.prefix}?endpoint={address.endpoint}"
    return f"{url}&public_endpoint={address.public_endpoint}" if address.public_endpoint else url


@contextlib.contextmanager
def running_on_s3(data: Path, address: S3Address, **settings: str) -> Iterator[Server]:
    """Run a server of two workers on a place in the store."""
    environment = {
        "ECRATE_BLOBS": url_of(address),
        "ECRATE_S3_ACCESS_KEY_ID": KEY.key_id,
        "ECRATE_S3_SECRET_ACCESS_KEY": KEY.secret,
        "ECRATE_WORKERS": "2",
        **settings,
    }
    with running_server(data, env=environment) as server:
        yield server
