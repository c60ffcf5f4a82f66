"""Checks of the server: its port, its clock, its certificate, and the credentials for it."""

from __future__ import annotations

import email.utils
import errno
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ecrate.cli.doctor.findings import Finding, Situation, ok, skipped
from ecrate.cli.failures import CommandError, ServiceError
from ecrate.upstream.challenges import is_ecr, read_challenges
from ecrate.upstream.endpoints import BROKEN

_LARGEST_ANSWER: Final = 1024 * 1024
_SKEW_REFUSED: Final = 300.0
_SKEW_NOTED: Final = 60.0
_SOON: Final = 14 * 24 * 3600.0
_DAY: Final = 24 * 3600.0
_MENDS: Final = {
    "InvalidSignatureException": 'the secret is not that of the key: run eval "$(ecrate env)" '
    "again, or set AWS_SECRET_ACCESS_KEY",
    "UnrecognizedClientException": 'the server does not know the key: run eval "$(ecrate env)" '
    "again, or ask its operator for one (ecrate iam create-access-key)",
    "ExpiredTokenException": "get new temporary credentials",
    "AccessDeniedException": "ask the operator for a policy that allows ecr:GetAuthorizationToken",
}


def check_server(situation: Situation) -> Iterator[Finding]:
    """See who answers at the endpoint, how its clock is, and whether the credentials are good."""
    endpoint, registries = situation.endpoint, situation.registries
    try:
        answer = registries.connections.exchange(
            endpoint, "GET", "/v2/", {"Host": endpoint.authority}, limit=_LARGEST_ANSWER
        )
    except BROKEN as error:
        yield from _explain_silence(situation, error)
        yield skipped("credentials", "there is no server to ask")
        return
    asked = answer.headers.get_all("WWW-Authenticate") or []
    if not is_ecr(read_challenges(asked)) and not _is_aws(situation):
        yield Finding(
            "broken",
            "server",
            f"what answers at {endpoint.url} is no ecrate",
            "stop it, or serve at another port (ecrate serve --port) and set AWS_ENDPOINT_URL",
        )
        return
    yield ok("server", f"answers at {endpoint.url}")
    yield compare_clocks(answer.headers.get("Date") or "", time.time())
    yield from _check_credentials(situation)


def _is_aws(situation: Situation) -> bool:
    # The API's own address has no registry door.
    return situation.endpoint.host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _explain_silence(situation: Situation, error: Exception) -> Iterator[Finding]:
    endpoint = situation.endpoint
    if isinstance(error, ssl.SSLCertVerificationError):
        yield Finding(
            "broken",
            "TLS",
            f"the certificate of {endpoint.url} is not trusted: {error.verify_message}",
            "give its authority with --ca-bundle FILE or AWS_CA_BUNDLE, or add it to the system's",
        )
        return
    if isinstance(error, ssl.SSLError):
        mend = f"does it serve TLS? Try http://{endpoint.authority}"
        yield Finding("broken", "TLS", f"no TLS with {endpoint.url}: {error.reason}", mend)
        return
    mend = "start it: ecrate serve; or set AWS_ENDPOINT_URL (--endpoint-url) to where it is"
    yield Finding("broken", "server", f"nobody answers at {endpoint.url}: {error}", mend)
    if situation.is_loopback:
        yield _check_port(situation.settings.host, situation.settings.port)


def _check_port(host: str, port: int) -> Finding:
    """Try whether a server could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            mends = {
                errno.EADDRINUSE: "find out who listens there (ss -ltnp), or take another --port",
                errno.EACCES: "take a --port above 1023, or give the capability to bind that one",
                errno.EADDRNOTAVAIL: "--host has to be an address of this machine",
            }
            mend = mends.get(error.errno or 0, "take another --host or --port")
            told = f"{host}:{port} cannot be listened on: {error.strerror or error}"
            return Finding("broken", "port", told, mend)
    return ok("port", f"{host}:{port} is free")


def compare_clocks(date: str, now: float) -> Finding:
    """Compare an answer's Date with this machine's clock, in epoch seconds."""
    what = "clock of the server"
    try:
        skew = now - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return skipped(what, "is not told")
    told = f"is {abs(skew):.0f} seconds {'behind' if skew > 0 else 'ahead of'} this machine's"
    mend = "synchronize both: signatures are refused when clocks are 5 minutes apart"
    if abs(skew) > _SKEW_REFUSED:
        return Finding("broken", what, told, mend)
    if abs(skew) > _SKEW_NOTED:
        return Finding("note", what, told, mend)
    return ok(what, told)


def _check_credentials(situation: Situation) -> Iterator[Finding]:
    what, registries = "credentials", situation.registries
    try:
        key = registries.profile.credentials()
        registries.client(situation.endpoint.url).call("GetAuthorizationToken", {})
    except ServiceError as error:
        mend = _MENDS.get(error.code, "see the server's log")
        yield Finding("broken", what, f"{error.code}: {error.message}", mend)
    except CommandError as error:
        told, _, rest = str(error).partition(". ")
        mend = rest or 'run eval "$(ecrate env)"'
        yield Finding("broken", what, told, mend)
    else:
        yield ok(what, f"the access key {key.key_id if key else '(none)'} is good")


def check_certificate(situation: Situation) -> Iterator[Finding]:
    """Look how long certificates are good: that of the settings, and that of the endpoint."""
    settings, endpoint = situation.settings, situation.endpoint
    if settings.tls_certificate or settings.tls_key:
        yield _check_pair(Path(settings.tls_certificate), Path(settings.tls_key))
    if endpoint.scheme != "https":
        return
    try:
        with situation.registries.connections.connection_to(endpoint) as connection:
            opened = connection.sock
            found = opened.getpeercert() if isinstance(opened, ssl.SSLSocket) else None
    except BROKEN:
        return  # told already
    if found:
        yield _check_end(f"the certificate of {endpoint.authority}", found)


def _check_pair(certificate: Path, key: Path) -> Finding:
    try:
        return _check_end(f"tls_certificate {certificate}", read_certificate(certificate, key))
    except ssl.SSLCertVerificationError as error:
        told = f"tls_certificate {certificate}: {error.verify_message}"
    except OSError as error:
        told = f"tls_certificate {certificate} with tls_key {key}: {error}"
    return Finding("broken", "TLS", told, "renew it; the server takes changed files up by itself")


def read_certificate(certificate: Path, key: Path) -> dict[str, Any]:
    """Give what a client is shown by a server with this pair.

    Raises `ssl.SSLCertVerificationError` where it is not valid now, and `OSError` where the
    files are not a pair.
    """
    server, client = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )
    server.load_cert_chain(certificate, key, password=lambda: "")
    client.check_hostname = False
    # Trusted for itself, so that dates are all that is verified.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    wire = [ssl.MemoryBIO() for _ in range(2)]
    one = client.wrap_bio(wire[0], wire[1])
    other = server.wrap_bio(wire[1], wire[0], server_side=True)
    waiting = [one, other]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return one.getpeercert() or {}


def _check_end(told: str, certificate: dict[str, Any]) -> Finding:
    left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    told += f" is good for {left / _DAY:.0f} more days"
    if left < _SOON:
        return Finding("note", "TLS", told, "renew it")
    return ok("TLS", told)
