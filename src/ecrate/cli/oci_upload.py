"""One blob to any registry: begin, send the bytes, close.

A broken upload goes on behind what the registry says it has. Registries that cannot tell, or
cannot go on, get the blob from its beginning again.
"""

from __future__ import annotations

import http
import http.client
import re
from typing import BinaryIO, Final
from urllib.parse import urlencode

from ecrate.cli.archive import MIB
from ecrate.cli.connections import Answer, pause
from ecrate.cli.failures import CommandError, ConnectionFailedError
from ecrate.cli.manifests import Blob
from ecrate.cli.progress import Progress, human_size
from ecrate.cli.registry_client import RegistryClient
from ecrate.cli.transfer import PATIENCE
from ecrate.upstream.endpoints import BROKEN

# What a registry answers that lost an upload, or a token's end.
_LOST: Final = (
    http.HTTPStatus.UNAUTHORIZED,
    http.HTTPStatus.NOT_FOUND,
    http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    http.HTTPStatus.TOO_MANY_REQUESTS,
)
_RANGE: Final = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")


class _LostError(Exception):
    """The registry does not know the upload any more, or is elsewhere in it."""


class BlobUpload:
    """Uploads one blob to the repository whose blobs are below `target`."""

    def __init__(
        self,
        client: RegistryClient,
        target: str,
        scopes: frozenset[str],
        blob: Blob,
        progress: Progress,
    ) -> None:
        self._client = client
        self._target = target
        self._scopes = scopes
        self._blob = blob
        self._progress = progress
        self._location = ""
        self._sent = 0

    def run(self) -> str:
        """Upload the blob and say how; raises `CommandError`."""
        blob, failures, confirmed = self._blob, 0, 0
        self._progress.start(blob.digest, "uploading", blob.size)
        with blob.open() as file:
            while True:
                try:
                    if failures and self._is_stored():
                        break
                    if self._sent > confirmed:
                        failures = 1
                    confirmed = self._sent
                    self._location = self._location or self._begin()
                    self._send(file)
                    self._close()
                    break
                except (*BROKEN, ConnectionFailedError, _LostError) as error:
                    failures += 1
                    self._wait(failures, error)
        self._progress.finish(blob.digest, "uploaded", human_size(blob.size))
        return "uploaded"

    def _wait(self, failures: int, error: Exception) -> None:
        connections = self._client.connections
        if connections.is_closed:
            raise CommandError("broken off") from None
        if failures > PATIENCE:
            raise self._client.unreachable(error) from None
        told = str(error).partition("\n")[0] or repr(error)
        self._progress.tell(f"layer {self._blob.digest}: {told}; trying on")
        connections.sleep(pause(failures))

    def _send(self, file: BinaryIO) -> None:
        """Send what is missing in one request."""
        if self._sent == self._blob.size:
            return
        file.seek(self._sent)
        first, last = self._sent, self._blob.size - 1
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(last - first + 1),
        }
        if first:
            headers["Content-Range"] = f"{first}-{last}"
        with self._client.send("PATCH", self._location, headers, scopes=self._scopes) as connection:
            try:
                self._send_body(file, connection)
            except OSError:
                # A registry that refuses may say so and close before it has read all.
                self._take(connection.getresponse())
                raise
            self._take(connection.getresponse())

    def _begin(self) -> str:
        answer = self._client.ask("POST", f"{self._target}uploads/", scopes=self._scopes)
        location = answer.headers.get("Location")
        if answer.status != http.HTTPStatus.ACCEPTED or not location:
            raise self._client.refuse(f"take the layer {self._blob.digest}", answer)
        return location

    def _send_body(self, file: BinaryIO, connection: http.client.HTTPConnection) -> None:
        while self._sent < self._blob.size:
            piece = file.read(min(MIB, self._blob.size - self._sent))
            if not piece:
                raise CommandError(f"layer {self._blob.digest}: its file became shorter meanwhile")
            connection.send(piece)
            self._advance(len(piece))

    def _take(self, response: http.client.HTTPResponse) -> None:
        content = response.read(MIB)
        answer = Answer(response.status, response.reason, response.headers, content)
        # ECR answers 201.
        if answer.status not in (http.HTTPStatus.ACCEPTED, http.HTTPStatus.CREATED):
            raise self._failure(answer)
        self._location = answer.headers.get("Location") or self._location

    def _close(self) -> None:
        joint = "&" if "?" in self._location else "?"
        target = f"{self._location}{joint}{urlencode({'digest': self._blob.digest})}"
        answer = self._client.ask("PUT", target, scopes=self._scopes)
        if answer.status not in (http.HTTPStatus.CREATED, http.HTTPStatus.NO_CONTENT):
            raise self._failure(answer)

    def _failure(self, answer: Answer) -> Exception:
        is_passing = answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        if is_passing or answer.status in _LOST:
            return _LostError(f"the registry answers {answer.status} {answer.reason}")
        return self._client.refuse(f"take the layer {self._blob.digest}", answer)

    def _is_stored(self) -> bool:
        """Find out how much is there, or begin anew; True where the blob is there already."""
        if not self._location:
            return False
        have = None
        answer = self._client.ask("GET", self._location, scopes=self._scopes)
        if answer.status == http.HTTPStatus.NO_CONTENT:
            self._location = answer.headers.get("Location") or self._location
            match = _RANGE.fullmatch(answer.headers.get("Range") or "")
            # `0-0` is what an upload that has nothing says, as one with a single byte does.
            have = int(match[1]) + 1 if match and match[1] != "0" else None
        else:
            # The answer to the last request may have been lost, when all was done.
            target = f"{self._target}{self._blob.digest}"
            if self._client.ask("HEAD", target, scopes=self._scopes).status == http.HTTPStatus.OK:
                return True
        if have is None or have > self._blob.size:
            self._location, have = "", 0
        self._advance(have - self._sent)
        return False

    def _advance(self, count: int) -> None:
        self._sent += count
        self._progress.advance(self._blob.digest, count)
