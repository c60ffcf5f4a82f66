"""The console's door: from a request under `/console/` to an operation and back.

Nothing is loaded from elsewhere, no script stands in a page (Content-Security-Policy), and every
change brings the token of its session's forms. Pages work without scripts; htmx and a few lines of
our own (`static/console.js`) spare reloading them.
"""

from __future__ import annotations

import functools
import hmac
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.console.errors import render_error, status_of
from ecrate.console.pages import STATIC, Pages, read_static
from ecrate.console.request import PATH, ConsoleRequest
from ecrate.console.stream import Streams
from ecrate.domain.errors import EcrateError, UnknownAccessKey
from ecrate.domain.sessions import Session, TooManyAttempts
from ecrate.operations import sessions
from ecrate.operations.audit import Event
from ecrate.operations.core import Core
from ecrate.web.audit import audited
from ecrate.web.body import Bodies
from ecrate.web.hosts import Hosts
from ecrate.web.request_ids import request_ids
from ecrate.web.sources import source_of
from ecrate.web.threads import Threads

if TYPE_CHECKING:
    from ecrate.console.routes import Route

_LOG: Final = logging.getLogger("ecrate")
_COOKIE: Final = "ecrate_console"
# Names a browser that is about to sign in, so that nobody else can make it do so.
_VISITOR: Final = "ecrate_visitor"
_LARGEST_FORM: Final = 256 * 1024
_FIELDS: Final = 50
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _ForgedError(Exception):
    """A change without the token of its session's forms."""


class Console:
    """Answers everything under `/console/`."""

    def __init__(
        self,
        core: Core,
        hosts: Hosts,
        bodies: Bodies,
        threads: Threads,
        *,
        lifetime: float,
        streams: int,
    ) -> None:
        """`lifetime` is that of a session in seconds; `streams` how many browsers may follow what
        happens at once.
        """
        self._core = core
        self._hosts = hosts
        self._bodies = bodies
        self._threads = threads
        self._lifetime = lifetime
        self._pages = Pages()
        self._streams = Streams(core, threads, self._pages, most=streams)
        self._request_ids = request_ids()

    def stop(self) -> None:
        """End what would not end by itself."""
        self._streams.stop()

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        request_id = next(self._request_ids)
        try:
            response = await self._answer(request, request_id)
        except ConnectionError:
            raise
        except _ForgedError:
            response = self._told(403, "This form is not from a page of yours. Load it again.")
        except TooManyAttempts as error:
            response = self._told(429, str(error))
            response.headers["Retry-After"] = str(error.retry_after)
        except EcrateError as error:
            response = self._told(status_of(error), str(error))
        except Exception:  # noqa: BLE001 - the outermost point: logged once, told to nobody
            _LOG.exception("request %s failed", request_id, extra={"request_id": request_id})
            response = self._told(500, f"The server failed to answer (request {request_id}).")
        if not response.prepared:
            response.headers.update(_HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers["X-Request-Id"] = request_id
            if response.status >= 400 and not request.content.is_eof():  # noqa: PLR2004 - errors
                response.force_close()
        return response

    def _told(self, status: int, message: str) -> Response:
        text = self._pages.render("message.html", session=None, status=status, message=message)
        return Response(status=status, text=text, content_type="text/html", charset="utf-8")

    async def _answer(self, request: BaseRequest, request_id: str) -> StreamResponse:
        raw, _, query = request.raw_path.partition("?")
        path = unquote(raw.removeprefix(PATH))
        for_anybody = _answer_anybody(request.method, raw, path)
        if for_anybody is not None:
            return for_anybody
        form: Mapping[str, str] = {}
        if request.method == "POST":
            async with self._bodies.read(request, _LARGEST_FORM) as (body, _):
                form = _fields(bytes(body).decode(errors="replace"))
        if path == "sign-in":
            return await self._sign_in(request, form)
        cookie = request.cookies.get(_COOKIE, "")
        try:
            session = await self._threads.read(
                sessions.open_session, self._core, cookie, source_of(request)
            )
        except UnknownAccessKey:
            return self._ask_to_sign_in(request)
        if request.method == "POST":
            _check_token(request, form, session.form_token)
        if path == "sign-out":
            return await self._sign_out(request, session)
        if path == "stream":
            return await self._streams.answer(request, session)
        from ecrate.console.routes import find_route  # noqa: PLC0415 - and what it takes, late

        route, name, digest = find_route(request.method, path)
        asked = ConsoleRequest(
            http=request,
            core=self._core,
            hosts=self._hosts,
            pages=self._pages,
            session=session,
            name=name,
            digest=digest,
            query=_fields(query),
            form=form,
            request_id=request_id,
        )
        return await self._page(asked, route)

    async def _page(self, request: ConsoleRequest, route: Route | None) -> Response:
        if route is None:
            return request.page("message.html", status=404, message="There is no such page.")
        try:
            if not route.operation:
                return await self._threads.run(route.handler, request)
            if self._core.rates is not None:
                self._core.rates.take(request.caller.registry, route.operation)
            event = Event(route.operation, request.caller.registry, request.request_id)
            event.parameters = _told_parameters(request)
            return await audited(
                self._core,
                self._threads,
                request.caller,
                event,
                functools.partial(self._threads.run, route.handler, request),
                response_of=lambda _: None,
                code_of=lambda error: (
                    type(error).__name__ if isinstance(error, EcrateError) else None
                ),
            )
        except EcrateError as error:
            return render_error(request, error)

    def _ask_to_sign_in(self, request: BaseRequest) -> Response:
        if request.headers.get("HX-Request") == "true":
            return Response(status=401, headers={"HX-Redirect": f"{PATH}sign-in"})
        return Response(status=303, headers={"Location": f"{PATH}sign-in"})

    async def _sign_in(self, request: BaseRequest, form: Mapping[str, str]) -> Response:
        visitor = request.cookies.get(_VISITOR, "")
        error = ""
        if request.method == "POST":
            _check_token(request, form, sessions.form_token(self._core, visitor or "nobody"))
            try:
                cookie = await self._threads.run(
                    functools.partial(
                        sessions.sign_in,
                        self._core,
                        form.get("key", "").strip(),
                        form.get("secret", "").strip(),
                        form.get("region", "").strip(),
                        source_of(request),
                        lifetime=self._lifetime,
                    )
                )
            except UnknownAccessKey:
                error = "There is no such access key, or its secret is another."
            else:
                response = Response(status=303, headers={"Location": f"{PATH}repositories"})
                self._set_cookie(response, _COOKIE, cookie)
                return response
        visitor = visitor or self._core.new_id()
        text = self._pages.render(
            "sign_in.html",
            session=None,
            error=error,
            is_open=self._core.is_open,
            region=self._core.default_registry.region,
            token=sessions.form_token(self._core, visitor),
        )
        status = 403 if error else 200
        response = Response(status=status, text=text, content_type="text/html", charset="utf-8")
        self._set_cookie(response, _VISITOR, visitor)
        return response

    async def _sign_out(self, request: BaseRequest, session: Session) -> Response:
        if request.method != "POST":
            return Response(status=405, headers={"Allow": "POST"})
        await self._threads.run(sessions.sign_out, self._core, session)
        response = Response(status=303, headers={"Location": f"{PATH}sign-in"})
        response.del_cookie(_COOKIE, path=PATH)
        return response

    def _set_cookie(self, response: Response, name: str, text: str) -> None:
        response.set_cookie(
            name,
            text,
            path=PATH,
            httponly=True,
            samesite="Strict",
            secure=self._hosts.scheme() == "https",
        )


def _answer_anybody(method: str, raw: str, path: str) -> Response | None:
    """Answer what takes no session."""
    if raw == PATH.rstrip("/"):
        return Response(status=308, headers={"Location": PATH})
    if not raw.startswith(PATH):
        return Response(status=404, text="404 page not found\n")
    if method not in {"GET", "HEAD", "POST"}:
        return Response(status=405, headers={"Allow": "GET, HEAD, POST"})
    if path.startswith("static/"):
        return _static(path.removeprefix("static/"))
    return None


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError:
        return {}


def _check_token(request: BaseRequest, form: Mapping[str, str], expected: str) -> None:
    given = request.headers.get("X-Form-Token") or form.get("token", "")
    if not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
        raise _ForgedError


def _told_parameters(request: ConsoleRequest) -> dict[str, Any]:
    members: dict[str, Any] = {
        key: text for key, text in request.form.items() if key not in {"token", "name"}
    }
    name = request.name or request.form.get("name", "")
    if name:
        members["repositoryName"] = name
    if request.digest:
        members["imageDigest"] = request.digest
    return members


def _static(name: str) -> Response:
    if name not in STATIC:
        return Response(status=404, text="404 page not found\n")
    return Response(
        body=read_static(name),
        content_type=STATIC[name],
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=86400"},
    )
