"""Calls of ecrate's AWS door without an SDK, which would cost more than what is measured."""

from __future__ import annotations

import datetime as dt
import hashlib
import http.client
import json
from dataclasses import dataclass
from typing import Any

from ecrate.domain.sigv4 import sign_headers

Request = tuple[dict[str, str], bytes]


@dataclass(frozen=True)
class Key:
    """An access key."""

    id: str
    secret: str


def signed_head(port: int, key: Key, operation: str, body: bytes) -> bytes:
    """Give the request up to its body; the signature is good for five minutes."""
    headers = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"AmazonEC2ContainerRegistry_V20150921.{operation}",
    }
    signed = sign_headers(
        headers,
        hashlib.sha256(body).hexdigest(),
        key_id=key.id,
        secret=key.secret,
        token=None,
        region="us-east-1",
        service="ecr",
        timestamp=dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ"),
    )
    signed["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n".encode()


def signed_request(port: int, key: Key, operation: str, parameters: dict[str, Any]) -> bytes:
    """Give a whole request."""
    body = json.dumps(parameters).encode()
    return signed_head(port, key, operation, body) + body


def signed_parts(port: int, key: Key, operation: str, parameters: dict[str, Any]) -> Request:
    """Give headers and body of a request."""
    body = json.dumps(parameters).encode()
    lines = signed_head(port, key, operation, body).decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines if line), body


def call(port: int, key: Key, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Call an operation; raises `RuntimeError` unless it succeeds."""
    headers, body = signed_parts(port, key, operation, parameters)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{operation} was answered {answer.status}: {text[:500]!r}")
    members: dict[str, Any] = json.loads(text)
    return members
