"""Looking through the audit log, the newest line first."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO, Final

from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core

_PIECE: Final = 256 * 1024
# Of the log is looked through at once, so that nobody waits for long.
_MOST: Final = 64 * 1024 * 1024


def search_audit(
    core: Core, caller: Caller, registry: RegistryRef, text: str, *, limit: int
) -> list[dict[str, Any]] | None:
    """Give up to `limit` events of the registry whose line has the text in it, whatever its case;
    None where no log is kept in files. It takes `ecr:ReadAuditLog`, and looks through the newest
    64 MiB.
    """
    with core.database.read() as tx:
        authorize(tx, caller, registry, "ReadAuditLog")
    if core.audit is None:
        return None
    wanted = json.dumps(text)[1:-1].lower().encode()
    account = f'"recipientAccountId":"{registry.id}"'.encode()
    found: list[dict[str, Any]] = []
    room = _MOST
    with contextlib.closing(core.audit.read_files()) as files:
        for line in chain.from_iterable(_lines_backwards(file) for file in files):
            room -= len(line) + 1
            if account in line and wanted in line.lower():
                event = _read(line)
                if event is not None and event.get("awsRegion") == registry.region:
                    found.append(event)
            if len(found) >= limit or room < 0:
                break
    return found


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None  # half a line, of a process that was killed
    return event if isinstance(event, dict) else None


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    position = file.seek(0, 2)
    rest = b""
    while position:
        size = min(_PIECE, position)
        position = file.seek(position - size)
        first, *lines = (file.read(size) + rest).split(b"\n")
        yield from reversed(lines)
        rest = first
    yield rest
