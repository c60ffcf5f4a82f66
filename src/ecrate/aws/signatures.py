"""Whether a request to the AWS door is signed, by whom, for here and for now.

In two steps, since the second needs the body: `Signatures.credential` looks at the headers
alone, `Signatures.check` at the signature itself. In open mode the signature does not matter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from aiohttp.web import BaseRequest

from ecrate.aws.errors import FrontDoorError
from ecrate.domain.errors import ExpiredToken, UnknownAccessKey
from ecrate.domain.principals import Caller
from ecrate.domain.sigv4 import MalformedSignatureError, Signature, is_genuine, parse_signature
from ecrate.operations.core import Core
from ecrate.operations.tokens import caller_of, secret_of
from ecrate.web.sources import source_of
from ecrate.web.threads import Threads

_SKEW: Final = 5 * 60.0
_LONGEST_PRESIGNED: Final = 7 * 24 * 3600
_REGION: Final = re.compile(r"[a-z0-9-]{2,25}")
_TIMESTAMP: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_EXPIRED: Final = "The security token included in the request is expired"


class Signatures:
    """Checks signatures; `service` is the one the scope must name."""

    def __init__(self, core: Core, threads: Threads) -> None:
        self._core = core
        self._threads = threads

    async def credential(
        self, request: BaseRequest, service: str, must_be_signed: frozenset[str]
    ) -> tuple[Signature, Caller]:
        """Give the signature as claimed and whom its key speaks for.

        Raises `FrontDoorError`, `UnknownAccessKey`.
        """
        signature = self._parse(request)
        if not self._core.is_open:
            self._check_scope(signature, service, must_be_signed)
        arguments = (self._core, signature.key_id, signature.token, signature.region)
        try:
            caller = await self._threads.read(caller_of, *arguments)
        except ExpiredToken:
            raise FrontDoorError("ExpiredTokenException", _EXPIRED) from None
        return signature, caller.coming_from(source_of(request))

    def check(
        self, request: BaseRequest, signature: Signature, digest: str, *, path: str = "/"
    ) -> None:
        """Raise `FrontDoorError` unless the body with this SHA-256 was signed with the key."""
        if self._core.is_open:
            return
        secret = secret_of(self._core, signature.key_id)
        is_ours = is_genuine(signature, secret, request.method, request.headers, digest, path=path)
        if not is_ours:
            raise _invalid(
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method. Consult the service "
                "documentation for details."
            )

    def _parse(self, request: BaseRequest) -> Signature:
        _, _, query = request.raw_path.partition("?")
        try:
            signature = parse_signature(request.headers, query)
        except MalformedSignatureError as error:
            raise FrontDoorError("IncompleteSignatureException", str(error)) from None
        if signature is None:
            raise FrontDoorError(
                "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        if not (signature.key_id + request.headers.get("Host", "")).isascii():
            # Bytes that are no text: no key has them, and no answer could repeat them.
            raise UnknownAccessKey
        if _REGION.fullmatch(signature.region) is None:
            raise _invalid("Credential should be scoped to a valid region.")
        return signature

    def _check_scope(
        self, signature: Signature, service: str, must_be_signed: frozenset[str]
    ) -> None:
        if signature.service != service:
            raise _invalid(f"Credential should be scoped to correct service: '{service}'.")
        missing = must_be_signed - set(signature.signed_headers)
        if missing:
            raise _invalid(f"These headers must be signed: {', '.join(sorted(missing))}.")
        try:
            moment = _moment(signature.timestamp)
        except ValueError:
            raise FrontDoorError(
                "IncompleteSignatureException",
                f"Date must be in ISO-8601 'basic format'. Got '{signature.timestamp}'.",
            ) from None
        if not signature.timestamp.startswith(signature.date):
            raise _invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 date.")
        self._check_date(signature, moment)

    def _check_date(self, signature: Signature, signed_at: float) -> None:
        now = self._core.clock()
        lifetime = _SKEW if signature.expires is None else signature.expires
        if lifetime > _LONGEST_PRESIGNED:
            raise FrontDoorError(
                "IncompleteSignatureException", "X-Amz-Expires must be less than a week"
            )
        if signed_at + lifetime < now:
            raise _invalid(
                f"Signature expired: {signature.timestamp} is now earlier than "
                f"{_stamp(now - lifetime)} ({_stamp(now)} - {lifetime / 60:.0f} min.)"
            )
        if signed_at - _SKEW > now:
            raise _invalid(
                f"Signature not yet current: {signature.timestamp} is still later than "
                f"{_stamp(now + _SKEW)} ({_stamp(now)} + 5 min.)"
            )


def _moment(timestamp: str) -> float:
    """Give epoch seconds; raises `ValueError`. `strptime` would take ten times as long."""
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise ValueError(timestamp)
    return datetime.fromisoformat(timestamp).timestamp()


def _invalid(message: str) -> FrontDoorError:
    return FrontDoorError("InvalidSignatureException", message)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
