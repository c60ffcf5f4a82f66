"""The registry as a whole: counts, what the server is doing, what happens, the audit log."""

from __future__ import annotations

import contextlib
from typing import Final

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest
from ecrate.domain.errors import AccessDenied
from ecrate.operations import overview
from ecrate.operations.audit_search import search_audit as search
from ecrate.operations.events import find_last_position, read_events

_EVENTS: Final = 50
_LINES: Final = 100


def show_registry(request: ConsoleRequest) -> Response:
    core, caller, own = request.core, request.caller, request.caller.registry
    count = server = events = None
    # What may not be seen is left out.
    with contextlib.suppress(AccessDenied):
        count = overview.count_repositories(core, caller, own)
    with contextlib.suppress(AccessDenied):
        server = overview.describe_server(core, caller)
    with contextlib.suppress(AccessDenied):
        # Positions are those of all registries: there may be fewer events of this one.
        after = max(find_last_position(core) - _EVENTS, 0)
        events = read_events(core, caller, own, after=after, limit=_EVENTS).events[::-1]
    return request.page(
        "registry.html",
        count=count,
        server=server,
        events=events,
        may=request.may_in_registry(("ReadAuditLog",)),
    )


def count_images(request: ConsoleRequest) -> Response:
    count = overview.count_images(request.core, request.caller, request.caller.registry)
    return request.part("count.html", "Images", count=count)


def search_audit(request: ConsoleRequest) -> Response:
    text = request.query.get("search", "").strip()
    found = search(request.core, request.caller, request.caller.registry, text, limit=_LINES)
    return request.page(
        "audit_rows.html" if request.is_fragment else "audit.html", found=found, search=text
    )
