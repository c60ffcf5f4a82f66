"""Statuses of errors at the console's door."""

from __future__ import annotations

from typing import Final

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest
from ecrate.domain import errors

_STATUSES: Final[dict[type[errors.EcrateError], int]] = {
    errors.AccessDenied: 403,
    errors.UnknownAccessKey: 401,
    errors.RepositoryNotFound: 404,
    errors.ImageNotFound: 404,
    errors.LayerNotFound: 404,
    errors.TrashNotFound: 404,
    errors.BodyTooLarge: 413,
    errors.RateExceeded: 429,
    errors.StoreUnavailable: 503,
    errors.AuditUnavailable: 503,
    errors.StorageFull: 507,
}


def status_of(error: errors.EcrateError) -> int:
    return _STATUSES.get(type(error), 400)


def render_error(request: ConsoleRequest, error: errors.EcrateError) -> Response:
    """Give the page that says what was refused."""
    template = "refused.html" if request.is_fragment else "message.html"
    return request.page(template, status=status_of(error), message=str(error))
