"""The AWS door of a core in this process, behind a real socket.

What no `ecrate serve` can be brought to: limits of two or three, a clock that a test sets, a
database that fails. Any access key of 12 digits is let in as the root of that account, so that
each test has a registry of its own.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from botocore.config import Config
from typing_extensions import override

from ecrate.aws.front import AwsFront
from ecrate.aws.model import service_model
from ecrate.operations.core import Limits
from ecrate.web.body import Bodies
from ecrate.web.hosts import Hosts
from ecrate.web.threads import Threads
from tests.support.answers import faults_of
from tests.support.core import Bench, Clock, InterruptedDatabase
from tests.support.images import MadeImage, make_image
from tests.support.server import REGION
from tests.support.serving import MIB, serving
from tests.support.signing import CONTENT_TYPE, TARGET, error_of
from tests.support.upstream import (
    TOKEN,
    USER,
    Upstream,
    make_pull_through,
    put_secret,
    running_upstream,
)

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

SMALL_LIMITS = Limits(
    repositories_per_registry=2,
    images_per_repository=3,
    tags_per_image=2,
    layer_size=4000,
    templates_per_registry=2,
    pull_time_exclusions=2,
    pull_through_rules=2,
    scan_pause=60.0,
)
_SESSION = boto3.session.Session()
_ACCOUNTS = itertools.count(100_000_000_000)


class FragileDatabase(InterruptedDatabase):
    """Begins no transaction while `is_broken`."""

    is_broken = False

    @override
    def read(self) -> Any:
        self._check()
        return super().read()

    @override
    def look(self) -> Any:
        self._check()
        return super().look()

    @override
    def write(self) -> Any:
        self._check()
        return super().write()

    def _check(self) -> None:
        if self.is_broken:
            raise sqlite3.OperationalError("disk I/O error")


@dataclass(frozen=True)
class Account:
    """A new account's root, calling the door; a session where there is a token."""

    door: Door
    id: str
    token: str = ""

    @property
    def clock(self) -> Clock:
        return self.door.bench.clock

    def post(self, operation: str, /, **members: Any) -> httpx.Response:
        """Call, with nothing checked on this side."""
        headers = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": f"{TARGET}.{operation}"}
        return self._send("ecr", headers, json.dumps(members).encode())

    def form(self, body: bytes) -> httpx.Response:
        """Send a form to STS."""
        return self._send("sts", {"Content-Type": "application/x-www-form-urlencoded"}, body)

    def _send(self, service: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        scope = f"{self.id}/20240101/{REGION}/{service}/aws4_request"
        signature = f"SignedHeaders=host, Signature={'0' * 64}"
        headers |= {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, {signature}",
            "X-Amz-Date": "20240101T000000Z",
        }
        if self.token:
            headers["X-Amz-Security-Token"] = self.token
        return self.door.http.post("/", headers=headers, content=body)

    def call(self, operation: str, /, **members: Any) -> dict[str, Any]:
        """Call with success; the answer has to be of the model's shape."""
        answer = self.post(operation, **members)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        assert faults_of(operation, document) == []
        return document

    def refuse(self, operation: str, /, **members: Any) -> tuple[int, str, str]:
        """Call without success; give status, code and message."""
        return error_of(self.post(operation, **members))

    @functools.cached_property
    def ecr(self) -> ECRClient:
        """A boto3 client."""
        return _SESSION.client(
            "ecr",
            region_name=REGION,
            endpoint_url=str(self.door.http.base_url),
            aws_access_key_id=self.id,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def arn(self, repository: str) -> str:
        return f"arn:aws:ecr:{REGION}:{self.id}:repository/{repository}"

    def create(self, name: str = "one", **settings: Any) -> str:
        """Create a repository."""
        self.call("CreateRepository", repositoryName=name, **settings)
        return name

    def begin(self, repository: str, *parts: bytes) -> str:
        """Begin an upload and send these parts of it."""
        answer = self.call("InitiateLayerUpload", repositoryName=repository)
        upload_id = str(answer["uploadId"])
        first = 0
        for part in parts:
            self.call("UploadLayerPart", **part_of(repository, upload_id, first, part))
            first += len(part)
        return upload_id

    def upload(self, repository: str, image: MadeImage) -> MadeImage:
        """Upload what an image needs."""
        for blob in image.blobs:
            self.call(
                "CompleteLayerUpload",
                repositoryName=repository,
                uploadId=self.begin(repository, blob.content),
                layerDigests=[blob.digest],
            )
        return image

    def put(self, repository: str, manifest: str, *tags: str) -> str:
        """Put a manifest; give its digest."""
        digest = ""
        for tag in tags or (None,):
            named = {} if tag is None else {"imageTag": tag}
            answer = self.call(
                "PutImage", repositoryName=repository, imageManifest=manifest, **named
            )
            digest = answer["image"]["imageId"]["imageDigest"]
        return digest

    def push(self, repository: str, *tags: str) -> MadeImage:
        """Push a small new image."""
        image = self.upload(repository, make_image(100))
        self.put(repository, image.manifest, *tags)
        return image

    def secret(self, name: str, value: object = None) -> str:
        """Put a secret with a login, or another value; give its ARN."""
        login = {"username": USER, "accessToken": TOKEN}
        folder = self.door.bench.folder / "secrets"
        return put_secret(folder, self.id, name, login if value is None else value)

    def cache(self, prefix: str = "up", **members: str) -> str:
        """Create a rule for the door's upstream; give the name that a repository has there which
        is the account's own.
        """
        self.call(
            "CreatePullThroughCacheRule",
            ecrRepositoryPrefix=prefix,
            upstreamRegistryUrl=self.door.upstream.url,
            **members,
        )
        return f"of/{self.id}"


def part_of(repository: str, upload_id: str, first: int, content: bytes) -> dict[str, Any]:
    """Give the members of an UploadLayerPart."""
    return {
        "repositoryName": repository,
        "uploadId": upload_id,
        "partFirstByte": first,
        "partLastByte": first + len(content) - 1,
        "layerPartBlob": b64encode(content).decode(),
    }


@dataclass(frozen=True)
class Door:
    """An open door and the core behind it."""

    bench: Bench
    http: httpx.Client
    database: FragileDatabase
    upstream: Upstream

    def account(self) -> Account:
        """Give an account that has nothing yet."""
        return Account(self, str(next(_ACCOUNTS)))


@contextlib.contextmanager
def open_door(folder: Path, limits: Limits = SMALL_LIMITS) -> Iterator[Door]:
    """Serve the door for a block."""
    with contextlib.ExitStack() as opened:
        upstream = opened.enter_context(running_upstream())
        seam = make_pull_through(folder)
        options = {"is_open": True, "limits": limits, "pull_through": seam}
        bench = Bench(folder, options=options, engine=FragileDatabase)
        opened.callback(bench.close)
        opened.callback(seam.stop)
        threads = Threads()
        opened.callback(threads.stop)
        bodies = Bodies(threads, buffers=1, size=32 * MIB)
        front = AwsFront(bench.core, service_model(), Hosts(), bodies, threads)
        port = opened.enter_context(serving(front))
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False, trust_env=False)  # noqa: S501
        opened.enter_context(http)
        assert isinstance(bench.database, FragileDatabase)
        yield Door(bench, http, bench.database, upstream)
