"""The registry door: from a request under `/v2/` to an operation and back."""

from __future__ import annotations

import logging
import re
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse

from ecrate.domain.errors import AccessDenied, EcrateError, InvalidParameter, UnknownAccessKey
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.oci import images, layers, referrers, tags
from ecrate.oci.credentials import NotAuthorizedError, authenticate, challenge, get_token
from ecrate.oci.errors import CODES, SERVER_ERROR, RegistryError, render
from ecrate.oci.guard import Handler, guard
from ecrate.oci.operations import OPERATIONS
from ecrate.oci.request import RegistryRequest
from ecrate.oci.routes import Query, Route, parse_path
from ecrate.operations.core import Core
from ecrate.operations.pull_through.upstreams import find_mirrored_name
from ecrate.web.body import SMALL_BODY, Bodies
from ecrate.web.faults import Faults
from ecrate.web.hosts import Hosts
from ecrate.web.metrics import OPERATION
from ecrate.web.request_ids import request_ids
from ecrate.web.threads import Threads

# It is repeated in a header.
_HOST: Final = re.compile(r"[a-zA-Z0-9_.:\[\]-]{1,255}")
_LOG: Final = logging.getLogger("ecrate")

HANDLERS: Final[dict[tuple[str, str], Handler]] = {
    ("base", "GET"): tags.get_base,
    ("base", "HEAD"): tags.get_base,
    ("catalog", "GET"): tags.get_catalog,
    ("tags", "GET"): tags.get_tags,
    ("manifest", "GET"): images.get_manifest,
    ("manifest", "HEAD"): images.get_manifest,
    ("manifest", "PUT"): images.put_manifest,
    ("manifest", "DELETE"): images.delete_manifest,
    ("blob", "GET"): layers.get_blob,
    ("blob", "HEAD"): layers.head_blob,
    ("blob", "DELETE"): layers.delete_blob,
    ("uploads", "POST"): layers.post_upload,
    ("upload", "GET"): layers.get_upload,
    ("upload", "PATCH"): layers.patch_upload,
    ("upload", "PUT"): layers.put_upload,
    ("upload", "DELETE"): layers.delete_upload,
    ("referrers", "GET"): referrers.get_referrers,
}


class OciFront:
    """Answers everything under `/v2/`."""

    def __init__(
        self,
        core: Core,
        hosts: Hosts,
        bodies: Bodies,
        threads: Threads,
        *,
        faults: Faults | None = None,
    ) -> None:
        self._core = core
        self._hosts = hosts
        self._bodies = bodies
        self._threads = threads
        self._request_ids = request_ids()
        self._faults = faults
        self._is_guarded = bool(core.rates or core.audit or faults)

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        request_id = next(self._request_ids)
        route = None
        try:
            path, _, query = request.raw_path.partition("?")
            route = parse_path(path)
            response = await self._answer(request, route, query, request_id)
        except UnknownAccessKey:
            response = challenge(self._core, request, self._hosts, route)
        except NotAuthorizedError as error:
            response = challenge(self._core, request, self._hosts, route, str(error))
        except (RegistryError, EcrateError) as error:
            response = _refuse(error, request_id)
        except ConnectionError:
            raise  # the client is gone; the server notes it and closes
        except Exception:  # noqa: BLE001 - the outermost point: logged once, told to nobody
            _LOG.exception("request %s failed", request_id, extra={"request_id": request_id})
            if request.writer.output_size:
                # Another answer would be taken for the rest of the one that has begun.
                raise ConnectionAbortedError from None
            response = render(SERVER_ERROR)
        if not response.prepared:
            response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
            response.headers["X-Request-Id"] = request_id
            if response.status >= 400 and _has_large_rest(request):  # noqa: PLR2004 - all errors
                # Nobody will read the rest of this body.
                response.force_close()
        return response

    async def _answer(
        self, request: BaseRequest, route: Route, query: str, request_id: str
    ) -> StreamResponse:
        if route.kind == "token" and request.method == "GET":
            return await self._threads.read(get_token, self._core, request)
        caller, registry = await self._threads.read(authenticate, self._core, request)
        if route.kind == "nowhere":
            raise RegistryError(404, "NAME_INVALID", "There is nothing at this path of the API")
        place = (route.kind, request.method)
        handler = HANDLERS.get(place)
        if place in OPERATIONS:
            request[OPERATION] = OPERATIONS[place]
        if handler is None:
            raise RegistryError(405, "UNSUPPORTED", "The operation is unsupported.")
        if self._is_guarded:
            handler = guard(
                self._core, handler, route.kind, request.method, request_id, faults=self._faults
            )
        parameters = Query(query)
        namespace = parameters.get("ns") if request.method in {"GET", "HEAD"} else None
        name = route.name
        if namespace and name:
            name = await self._mirrored(request, registry, namespace, name)
        try:
            response = await handler(
                RegistryRequest(
                    http=request,
                    core=self._core,
                    caller=caller,
                    ref=_repository(registry, name),
                    reference=route.reference,
                    query=parameters,
                    bodies=self._bodies,
                    threads=self._threads,
                    namespace=namespace or "",
                )
            )
        except AccessDenied as error:
            if caller.is_anonymous:
                # Whoever has a name may say so now.
                raise NotAuthorizedError(f"{error}. You are not logged in.") from None
            raise
        if namespace and not response.prepared:
            response.headers["OCI-Namespace"] = namespace
        return response

    async def _mirrored(
        self, request: BaseRequest, registry: RegistryRef, namespace: str, name: str
    ) -> str:
        """Give what the repository of the registry that the client means is called here.

        Another registry's is never served under that name. Source: distribution-spec, "Registry
        Proxying".
        """
        if namespace == request.headers.get("Host", ""):
            return name
        if _HOST.fullmatch(namespace) is not None:
            found = await self._threads.read(
                find_mirrored_name, self._core, registry, namespace, name
            )
            if found is not None:
                return found
        raise RegistryError(404, "NAME_UNKNOWN", "No pull through cache rule is for this registry")


def _repository(registry: RegistryRef, name: str) -> RepositoryRef:
    if not name:
        return RepositoryRef(registry, "")  # the base and the catalog are of no repository
    try:
        return RepositoryRef.parse(registry, name)
    except InvalidParameter as error:
        raise RegistryError(404, "NAME_INVALID", str(error)) from None


def _has_large_rest(request: BaseRequest) -> bool:
    return not request.content.is_eof() and (request.content_length or SMALL_BODY + 1) > SMALL_BODY


def _refuse(error: RegistryError | EcrateError, request_id: str) -> StreamResponse:
    if isinstance(error, EcrateError) and type(error) not in CODES:
        _LOG.error("request %s: no code for %r", request_id, error)
        error = SERVER_ERROR
    return render(error)
