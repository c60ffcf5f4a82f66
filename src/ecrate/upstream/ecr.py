"""Calls of ECR's API at another server: an ecrate, or ECR itself.

Nothing that it answers is believed before it was looked at, and no answer leads anywhere else: one
host is asked, by signed requests, and bytes go there as parts of a layer.
"""

from __future__ import annotations

import hashlib
import http
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pybase64

from ecrate.domain.sigv4 import sign_headers
from ecrate.upstream.http import Http

# AWS: the service model's metadata, targetPrefix.
_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921"
_SERVICE: Final = "ecr"
# A manifest of 4 MiB with every quote escaped, and the other members.
_LARGEST_ANSWER: Final = 9 * 1024 * 1024
_LONGEST_TEXT: Final = 300
_PASSING: Final = frozenset(
    {
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
    }
)


class CallRefusedError(Exception):
    """The server refuses; `code` is ECR's, or the status where it gave none."""

    def __init__(self, code: str, message: str, *, is_passing: bool) -> None:
        super().__init__(f"it answers {code}: {message}" if message else f"it answers {code}")
        self.code = code
        self.is_passing = is_passing


class BadCallAnswerError(Exception):
    """The server's answer is not what ECR answers."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server is and with which access key it is called; `rate` is bytes a second that it
    is sent, None for as many as it takes.
    """

    endpoint: str
    key_id: str
    secret: str
    region: str
    rate: float | None = None


class EcrClient:
    """Calls one server. Safe to use from several threads."""

    def __init__(self, client: Http, access: Access) -> None:
        self._http = client
        self._access = access

    def call(
        self, operation: str, parameters: Mapping[str, Any], blob: tuple[str, bytes] | None = None
    ) -> dict[str, Any]:
        """Give the answer; `blob` is a member whose value is bytes.

        Raises `CallRefusedError`, `BadCallAnswerError`, and what `Http.ask` raises.
        """
        pieces = [json.dumps(parameters).encode()]
        if blob is not None:
            name, content = blob
            head = pieces[0][:-1] + b"," + json.dumps(name).encode() + b':"'
            pieces = [head, pybase64.b64encode(content), b'"}']
        headers = self._headers(operation, pieces)
        with self._http.ask("POST", self._access.endpoint, headers, pieces) as reply:
            status, content = reply.status, reply.read_all(_LARGEST_ANSWER)
        try:
            answer = json.loads(content) if content else {}
        except (ValueError, RecursionError):
            answer = None
        if status != http.HTTPStatus.OK:
            raise _refused(status, answer)
        if not isinstance(answer, dict):
            raise BadCallAnswerError("its answer is not ECR's")
        return answer

    def _headers(self, operation: str, pieces: list[bytes]) -> dict[str, str]:
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        scheme, _, rest = self._access.endpoint.partition("://")
        host = rest.rstrip("/").removesuffix(":443" if scheme == "https" else ":80")
        signed = sign_headers(
            {
                "host": host,
                "content-type": "application/x-amz-json-1.1",
                "x-amz-target": f"{_TARGET}.{operation}",
            },
            digest.hexdigest(),
            key_id=self._access.key_id,
            secret=self._access.secret,
            token=None,
            region=self._access.region,
            service=_SERVICE,
            timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        )
        del signed["host"]  # which the client sends itself
        return signed | {"content-length": str(sum(map(len, pieces)))}


def _refused(status: int, answer: object) -> CallRefusedError:
    body = answer if isinstance(answer, dict) else {}
    code = str(body.get("__type") or status).rpartition("#")[2][:_LONGEST_TEXT]
    message = str(body.get("message") or body.get("Message") or "")[:_LONGEST_TEXT]
    is_passing = status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or code in _PASSING
    return CallRefusedError(_line(code), _line(message), is_passing=is_passing)


def _line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
