"""One layer from its URL into a file: resumed where the connection broke, verified at the end."""

from __future__ import annotations

import hashlib
import http.client
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin

from ecrate.cli.archive import MIB
from ecrate.cli.client import Client, Endpoint, pause, split_url
from ecrate.cli.failures import CommandError
from ecrate.cli.options import CommonValues
from ecrate.cli.progress import Progress, human_size
from ecrate.cli.transfer import PATIENCE, patiently

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)


class _BrokenError(Exception):
    """The download broke off and may go on."""


class LayerDownload:
    """Downloads one layer of one repository. The file appears when it is whole and verified."""

    def __init__(
        self,
        client: Client,
        options: CommonValues,
        repository: dict[str, str],
        progress: Progress,
        *,
        digest: str,
        size: int,
        path: Path,
    ) -> None:
        self._client = client
        self._options = options
        self._repository = repository
        self._progress = progress
        self._digest = digest
        self._size = size
        self._path = path
        self._received = 0
        self._hash = hashlib.new(digest.partition(":")[0])

    def run(self) -> None:
        """Download; raises `CommandError`."""
        part = self._path.with_name(f"{self._path.name}.part")
        self._progress.start(self._digest, "downloading", self._size)
        failures = 0
        url = ""
        with part.open("wb") as file:
            while self._received < self._size or not url:
                before = self._received
                try:
                    url = url or self._ask_url()
                    self._receive(url, file)
                except (_BrokenError, OSError, http.client.HTTPException) as error:
                    self._client.log(f"download of {self._digest}: {error!r}")
                    failures = 1 if self._received > before else failures + 1
                    url = ""
                    if failures > PATIENCE:
                        text = str(error) or repr(error)
                        raise CommandError(
                            f"layer {self._digest} cannot be downloaded: {text}"
                        ) from None
                    self._client.sleep(pause(failures))
        if self._hash.hexdigest() != self._digest.partition(":")[2]:
            part.unlink()
            raise CommandError(
                f"layer {self._digest} arrived with another digest: it is damaged in the registry "
                "or on the way"
            )
        part.replace(self._path)
        self._progress.finish(self._digest, "downloaded", human_size(self._size))

    def _ask_url(self) -> str:
        parameters = {**self._repository, "layerDigest": self._digest}
        answer = patiently(
            partial(self._client.call, "GetDownloadUrlForLayer", parameters),
            client=self._client,
            tell=self._tell,
        )
        return str(answer["downloadUrl"])

    def _tell(self, text: str) -> None:
        self._progress.tell(f"layer {self._digest}: {text}")

    def _receive(self, url: str, file: BinaryIO) -> None:
        """Append what is missing to the file; raises `_BrokenError` where less comes."""
        for _ in range(_MOST_REDIRECTS):
            endpoint, target = split_url(url, self._options)
            with self._client.connection_to(endpoint) as connection:
                response = self._ask(connection, endpoint, target)
                if response.status not in _REDIRECTS:
                    self._append(response, file)
                    return
                url = urljoin(url, response.headers.get("Location", ""))
        raise _BrokenError("the server redirects without end")

    def _ask(
        self, connection: http.client.HTTPConnection, endpoint: Endpoint, target: str
    ) -> http.client.HTTPResponse:
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", endpoint.authority)
        connection.putheader("Accept-Encoding", "identity")
        if self._received:
            connection.putheader("Range", f"bytes={self._received}-")
        connection.endheaders()
        return connection.getresponse()

    def _append(self, response: http.client.HTTPResponse, file: BinaryIO) -> None:
        content_range = response.headers.get("Content-Range", "")
        is_continued = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if is_continued and not content_range.startswith(f"bytes {self._received}-"):
            raise _BrokenError(f"the server sent another range: {content_range}")
        if not is_continued and response.status != http.HTTPStatus.OK:
            raise _BrokenError(f"the server answered {response.status} {response.reason}")
        if not is_continued:
            self._restart(file)
        while self._received < self._size:
            piece = response.read(min(MIB, self._size - self._received))
            if not piece:
                raise _BrokenError("the connection broke")
            file.write(piece)
            self._hash.update(piece)
            self._received += len(piece)
            self._progress.advance(self._digest, len(piece))

    def _restart(self, file: BinaryIO) -> None:
        """Begin anew, where a server sends all it has instead of the rest."""
        self._progress.advance(self._digest, -self._received)
        file.seek(0)
        file.truncate()
        self._received = 0
        self._hash = hashlib.new(self._digest.partition(":")[0])
