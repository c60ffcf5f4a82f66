"""The requests to the store, through botocore, and what their failures mean to us."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from uuid import uuid4

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader

from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.body import Body, Integrity, Piece, TwoFacedBody
from ecrate.blobs.s3.presigning import Credentials, presigned_url
from ecrate.blobs.s3.reader import BlobReader
from ecrate.blobs.s3.state import Part
from ecrate.domain.errors import StorageFull, StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_LOG: Final = logging.getLogger("ecrate")
_CONNECT_TIMEOUT: Final = 5
_READ_TIMEOUT: Final = 60
_ATTEMPTS: Final = 4
_CONNECTIONS: Final = 64
_CONTENT_TYPE: Final = "application/octet-stream"
_GONE: Final = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})
_FULL: Final = frozenset({"InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "507"})
_SERVER_ERROR: Final = 500
_SMALL_BODY: Final = 1024 * 1024


class _UncheckedError(ValueError):
    """Nothing shows that the store got what it was sent."""


class Bucket:
    """One bucket of one store. Keys are ours: the address's prefix is added here.

    Any method raises `StoreUnavailable` when the store cannot be reached, or refuses us, after a
    few tries; the log says why. Nothing is connected before the first request.
    """

    def __init__(self, address: S3Address, credentials: Credentials | None = None) -> None:
        """Without credentials, those of the AWS environment or profile are used."""
        self._name = address.bucket
        self._address = address
        self._credentials = credentials
        self._lock = threading.RLock()
        self._connected: _Connection | None = None
        self._integrity: Integrity | None = None

    def check(self) -> None:
        """Raise `ValueError`, with one line that says why, if the store cannot be used."""
        try:
            self._client.list_objects_v2(Bucket=self._name, Prefix=self._address.prefix, MaxKeys=1)
            self._find_integrity()
        except ClientError as error:
            raise ValueError(_reason(error)) from None
        except BotoCoreError as error:
            raise ValueError(str(error)) from None

    def put(self, key: str, pieces: Sequence[Piece]) -> None:
        body = Body(pieces)
        with _failures():
            sums = self._sums(body)
            self._client.put_object(
                Bucket=self._name,
                Key=self._key(key),
                Body=_for_botocore(body),
                ContentType=_CONTENT_TYPE,
                **sums,
            )

    def begin(self, key: str) -> str:
        """Begin a multipart upload and give its id."""
        with _failures():
            answer = self._client.create_multipart_upload(
                Bucket=self._name, Key=self._key(key), ContentType=_CONTENT_TYPE
            )
            return answer["UploadId"]

    def put_part(self, key: str, upload: str, number: int, pieces: Sequence[Piece]) -> Part:
        """Raise `FileNotFoundError` when the multipart upload was ended."""
        body = Body(pieces)
        with _failures():
            sums = self._sums(body)
            answer = self._client.upload_part(
                Bucket=self._name,
                Key=self._key(key),
                UploadId=upload,
                PartNumber=number,
                Body=_for_botocore(body),
                **sums,
            )
            return Part(number, len(body), answer["ETag"])

    def complete(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the object of exactly these parts. One that was made so already is left alone.

        Raises `FileNotFoundError` when there is neither object nor upload.
        """
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        try:
            with _failures():
                self._client.complete_multipart_upload(
                    Bucket=self._name,
                    Key=self._key(key),
                    UploadId=upload,
                    MultipartUpload={"Parts": cast("Any", named)},
                )
        except FileNotFoundError:
            # Not every store remembers what it has completed: the answer to an earlier try may
            # have been lost.
            if self.size(key) is None:
                raise
        size = sum(part.size for part in parts)
        if self.size(key) != size:
            _LOG.error("the store has %s bytes of %s, not %s", self.size(key), key, size)
            raise StoreUnavailable

    def abort(self, key: str, upload: str) -> None:
        """End a multipart upload and drop its parts; one that is not there counts as ended."""
        with contextlib.suppress(FileNotFoundError), _failures():
            self._client.abort_multipart_upload(
                Bucket=self._name, Key=self._key(key), UploadId=upload
            )

    def size(self, key: str) -> int | None:
        """Give an object's size in bytes, None where there is no such object."""
        with contextlib.suppress(FileNotFoundError), _failures():
            answer = self._client.head_object(Bucket=self._name, Key=self._key(key))
            return answer["ContentLength"]
        return None

    def get(self, key: str, start: int = 0) -> BinaryIO:
        """Open an object for reading from byte `start` on; raises `FileNotFoundError`."""
        span: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        with _failures():
            try:
                answer = self._client.get_object(Bucket=self._name, Key=self._key(key), **span)
            except ClientError as error:
                if _code(error) == "InvalidRange":
                    return io.BytesIO()
                raise
            return cast("BinaryIO", BlobReader(answer["Body"]))

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), _failures():
            self._client.delete_object(Bucket=self._name, Key=self._key(key))

    def list_objects(self) -> Iterator[tuple[str, float]]:
        """Give keys and times of all objects, in pages."""
        with _failures():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=self._address.prefix):
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._address.prefix)
                    yield key, found["LastModified"].timestamp()

    def list_uploads(self, start: str = "") -> Iterator[tuple[str, str, float]]:
        """Give keys, ids and times of all unfinished multipart uploads the store tells of, of keys
        that begin with `start`.

        Not all stores list them well; what goes wrong ends the list.
        """
        try:
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._name, Prefix=self._key(start)):
                for found in page.get("Uploads", ()):
                    key = found["Key"].removeprefix(self._address.prefix)
                    yield key, found["UploadId"], found["Initiated"].timestamp()
        except (ClientError, BotoCoreError) as error:
            _LOG.warning("the store does not list its multipart uploads: %s", error)

    def url(self, key: str, lifetime: int) -> str:
        """Give a URL from which anybody may read the object for `lifetime` seconds."""
        connection = self._connect()
        return presigned_url(
            connection.public_base,
            key,
            self._credentials or connection.credentials(),
            region=connection.region,
            now=time.time(),
            lifetime=lifetime,
        )

    def _key(self, key: str) -> str:
        return f"{self._address.prefix}{key}"

    @property
    def _client(self) -> S3Client:
        return self._connect().client

    def _connect(self) -> _Connection:
        if self._connected is None:
            with self._lock:
                if self._connected is None:
                    self._connected = _Connection(self._address, self._credentials)
        return self._connected

    def _sums(self, body: Body) -> dict[str, Any]:
        if self._integrity is None:
            with self._lock:
                if self._integrity is None:
                    self._find_integrity()
        assert self._integrity is not None  # noqa: S101 - just found
        return self._integrity.sums(body)

    def _find_integrity(self) -> None:
        """Find the cheapest sum that the store really checks; raises `_UncheckedError`."""
        key = self._key(f"probe-{uuid4()}")
        upload = self._client.create_multipart_upload(Bucket=self._name, Key=key)["UploadId"]
        try:
            for integrity in Integrity:
                connection = self._connect()
                if integrity is Integrity.SHA256:
                    connection = _Connection(self._address, self._credentials, signs_bodies=True)
                if _is_checked(connection.client, integrity, (self._name, key, upload)):
                    self._connected, self._integrity = connection, integrity
                    return
        finally:
            self._client.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload)
        known = ", ".join(integrity.value for integrity in Integrity)
        raise _UncheckedError(f"the store checks none of {known} of what it is sent")


class _Connection:
    """A client, and what the URLs for others are made of."""

    def __init__(
        self, address: S3Address, credentials: Credentials | None, *, signs_bodies: bool = False
    ) -> None:
        self._session = botocore.session.Session(profile=address.profile or None)
        self._session.register_component("data_loader", _loader())
        self.region = address.region or self._session.get_config_variable("region") or "us-east-1"
        options: dict[str, Any] = {
            # `ecrate env` sets one, and a server is not to take itself for its store.
            "ignore_configured_endpoint_urls": True,
        }
        config = Config(
            signature_version="s3v4",
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={
                "addressing_style": "virtual" if address.is_virtual else "path",
                "payload_signing_enabled": signs_bodies,
            },
            **options,
        )
        self.client: S3Client = cast(
            "Any",
            self._session.create_client(
                "s3",
                region_name=self.region,
                endpoint_url=address.endpoint or None,
                aws_access_key_id=credentials.key_id if credentials else None,
                aws_secret_access_key=credentials.secret if credentials else None,
                config=config,
            ),
        )
        endpoint = address.public_endpoint or address.endpoint or self.client.meta.endpoint_url
        self.public_base = address.base_url(endpoint)

    def credentials(self) -> Credentials:
        """Give the AWS environment's credentials as they are now."""
        found = self._session.get_credentials()
        now = None if found is None else found.get_frozen_credentials()
        if now is None or not now.access_key or not now.secret_key:
            _LOG.error("there are no credentials for the blob store any more")
            raise StoreUnavailable
        return Credentials(now.access_key, now.secret_key, now.token or "")


@functools.cache
def _loader() -> Loader:
    """Give what reads botocore's description of S3, once a process."""
    return create_loader()


def _for_botocore(body: Body) -> Any:
    """Give a small body as bytes, which go out with the head: a file has to be asked for first."""
    return body.joined() if len(body) <= _SMALL_BODY else body


def _is_checked(client: S3Client, integrity: Integrity, place: tuple[str, str, str]) -> bool:
    bucket, key, upload = place
    answers = []
    for body in (Body([b"right"]), TwoFacedBody(b"right", b"wrong")):
        sums = integrity.sums(body)
        try:
            client.upload_part(
                Bucket=bucket,
                Key=key,
                UploadId=upload,
                PartNumber=1,
                Body=cast("Any", body),
                **sums,
            )
            answers.append(True)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= _SERVER_ERROR:
                raise
            answers.append(False)
    return answers == [True, False]


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) in _GONE:
            raise FileNotFoundError(_reason(error)) from None
        _LOG.error("the blob store refuses: %s", _reason(error))
        if _code(error) in _FULL:
            raise StorageFull from None
        raise StoreUnavailable from None
    except (BotoCoreError, _UncheckedError) as error:
        _LOG.error("the blob store cannot be used: %s", error)
        raise StoreUnavailable from None


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _reason(error: ClientError) -> str:
    told = error.response.get("Error", {})
    return f"{error.operation_name}: {told.get('Code')}, {told.get('Message')}"
