"""Calls at both doors of one node, and what their answers mean to a model.

A call has three outcomes: an answer, a refusal (4xx), or nothing that one could rely on: no
answer, or one of 5xx, behind which the call may have been carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.server import REGION, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

PATIENCE: Final = 20.0
_LOST: Final = (httpx.TransportError, BotoCoreError)


@dataclass(frozen=True)
class Told:
    """What the AWS door said: a document, or an error's code and message."""

    document: Any = None
    code: str = ""
    message: str = ""


class Doors:
    """The clients of one node, which all threads share."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = server.http()
        self.http.timeout = httpx.Timeout(PATIENCE)
        self.http.follow_redirects = True
        self.ecr: ECRClient = boto3.session.Session().client(
            "ecr",
            region_name=REGION,
            endpoint_url=server.endpoint,
            aws_access_key_id=server.key_id,
            aws_secret_access_key=server.secret,
            config=Config(
                retries={"total_max_attempts": 1}, read_timeout=PATIENCE, max_pool_connections=20
            ),
        )

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        """Give the registry door's answer, None where there is none to rely on."""
        try:
            answer = self.http.request(method, path, **request)
        except _LOST:
            return None
        return None if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR else answer

    def call(self, call: Callable[[ECRClient], Any]) -> Told | None:
        """Give the AWS door's answer, None where there is none to rely on."""
        try:
            return Told(call(self.ecr))
        except ClientError as error:
            metadata, told = error.response["ResponseMetadata"], error.response["Error"]
            if metadata["HTTPStatusCode"] >= httpx.codes.INTERNAL_SERVER_ERROR:
                return None
            return Told(code=told["Code"], message=told.get("Message", ""))
        except _LOST:
            return None

    def close(self) -> None:
        self.http.close()
        self.ecr.close()
