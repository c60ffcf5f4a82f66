"""Blobs of a registry, read as files: resumed where the connection broke, verified when kept."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin

from typing_extensions import override

from ecrate.cli.archive import MIB
from ecrate.cli.connections import Connections, pause, split_url, start
from ecrate.cli.failures import CommandError
from ecrate.cli.manifests import Blob
from ecrate.cli.options import CommonValues
from ecrate.cli.progress import Progress, human_size
from ecrate.cli.transfer import PATIENCE
from ecrate.upstream.endpoints import BROKEN

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)
# A signed URL that has expired is refused with 403; a new one is asked for.
_PASSING: Final = (403, 408, 425, 429)

# Gives the answer to a request for a blob's bytes from an offset on.
Fetch = Callable[[int], AbstractContextManager[http.client.HTTPResponse]]


class _BrokenError(Exception):
    """The download broke off and may go on."""


class RemoteBlob(io.RawIOBase):
    """A blob as an unbuffered file, which survives broken connections."""

    def __init__(self, digest: str, size: int, fetch: Fetch, connections: Connections) -> None:
        super().__init__()
        self._digest = digest
        self._size = size
        self._fetch = fetch
        self._connections = connections
        self._at = 0
        self._stack = contextlib.ExitStack()
        self._response: http.client.HTTPResponse | None = None

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset != self._at:
            self._break_off()
            self._at = max(0, base + offset)
        return self._at

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # as wide
        """Raise `CommandError` where the bytes cannot be had."""
        wanted = min(len(buffer), max(0, self._size - self._at))
        failures = 0
        while wanted:
            try:
                count = self._receive(memoryview(buffer)[:wanted])
            except (_BrokenError, *BROKEN) as error:
                self._break_off()
                self._connections.log(f"download of {self._digest}: {error!r}")
                failures += 1
                if failures > PATIENCE:
                    text = str(error) or repr(error)
                    raise CommandError(
                        f"layer {self._digest} cannot be downloaded: {text}"
                    ) from None
                self._connections.sleep(pause(failures))
            else:
                self._at += count
                return count
        return 0

    @override
    def close(self) -> None:
        self._break_off()
        super().close()

    def _receive(self, buffer: memoryview) -> int:
        if self._response is None:
            self._response = self._stack.enter_context(self._fetch(self._at))
            self._check(self._response)
        count = self._response.readinto(buffer)
        if not count:
            raise _BrokenError("the connection broke")
        return count

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            content_range = response.headers.get("Content-Range", "")
            if not content_range.startswith(f"bytes {self._at}-"):
                raise _BrokenError(f"the server sent another range: {content_range}")
        elif response.status == http.HTTPStatus.OK:
            # A server that sends all it has instead of the rest.
            skipped = 0
            while skipped < self._at:
                piece = response.read(min(MIB, self._at - skipped))
                if not piece:
                    raise _BrokenError("the connection broke")
                skipped += len(piece)
        else:
            text = f"the server answered {response.status} {response.reason}"
            if (
                response.status in _PASSING
                or response.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
            ):
                raise _BrokenError(text)
            raise CommandError(f"layer {self._digest} cannot be downloaded: {text}")

    def _break_off(self) -> None:
        self._response = None
        self._stack.close()


def remote_blob(digest: str, size: int, fetch: Fetch, connections: Connections) -> Blob:
    """Give a blob whose readers fetch it."""

    def open_blob() -> BinaryIO:
        return io.BufferedReader(RemoteBlob(digest, size, fetch, connections), MIB)

    return Blob(digest, size, open_blob)


@contextlib.contextmanager
def open_url(
    url: str,
    offset: int,
    headers: Mapping[str, str],
    connections: Connections,
    *,
    options: CommonValues,
) -> Iterator[http.client.HTTPResponse]:
    """Ask for what a URL has from `offset` on, and follow where it leads.

    `headers` may hold credentials: they go to the first server only. Raises one of `BROKEN`.
    """
    first, _ = split_url(url, options)
    for _ in range(_MOST_REDIRECTS):
        endpoint, target = split_url(url, options)
        if first.scheme == "https" != endpoint.scheme:
            raise CommandError(f"{first.url} leads to {endpoint.url}, which is not encrypted")
        given = {"Host": endpoint.authority, **connections.headers}
        if endpoint.is_same_server(first):
            given |= headers
        if offset:
            given["Range"] = f"bytes={offset}-"
        with connections.connection_to(endpoint) as connection:
            start(connection, "GET", target, given)
            connection.endheaders()
            response = connection.getresponse()
            if response.status not in _REDIRECTS:
                yield response
                return
            url = urljoin(url, response.headers.get("Location", ""))
    raise http.client.HTTPException("the server redirects without end")


class LayerDownload:
    """Downloads one blob. The file appears when it is whole and verified."""

    def __init__(self, blob: Blob, path: Path, progress: Progress) -> None:
        self._blob = blob
        self._path = path
        self._progress = progress

    def run(self) -> None:
        """Download; raises `CommandError`."""
        digest, size = self._blob.digest, self._blob.size
        part = self._path.with_name(f"{self._path.name}.part")
        self._progress.start(digest, "downloading", size)
        algorithm, _, value = digest.partition(":")
        found = hashlib.new(algorithm)
        with part.open("wb") as file, self._blob.open() as source:
            for piece in iter(lambda: source.read(MIB), b""):
                file.write(piece)
                found.update(piece)
                self._progress.advance(digest, len(piece))
        if found.hexdigest() != value:
            part.unlink()
            raise CommandError(
                f"layer {digest} arrived with another digest: it is damaged in the registry or on "
                "the way"
            )
        part.replace(self._path)
        self._progress.finish(digest, "downloaded", human_size(size))
