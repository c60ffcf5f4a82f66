"""One layer through the layer API: begin, parts in their order, complete.

A part that was cut off is sent again. If the service has it already, or has less than we think,
it says so (`lastValidByteReceived`), and the upload goes on behind that byte.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, Final, TypeVar

from ecrate.cli.client import Client
from ecrate.cli.failures import CommandError, ServiceError
from ecrate.cli.manifests import Blob
from ecrate.cli.progress import Progress, human_size
from ecrate.cli.transfer import PATIENCE, patiently

_Result = TypeVar("_Result")
_RESTARTS: Final = 3


class LayerUpload:
    """Uploads one layer to one repository."""

    def __init__(
        self, client: Client, repository: dict[str, str], blob: Blob, progress: Progress
    ) -> None:
        self._client = client
        self._repository = repository
        self._blob = blob
        self._progress = progress
        self._upload_id = ""
        self._part_size = 0

    def run(self) -> str:
        """Upload the layer and say how; that it is there already is fine.

        Raises `CommandError`.
        """
        blob = self._blob
        if blob.size == 0:
            raise CommandError(
                f"layer {blob.digest} has no bytes, and ECR's layer API refuses empty layers "
                "(EmptyUploadException). Build the image without it."
            )
        for attempt in range(1, _RESTARTS + 1):
            self._begin()
            try:
                with blob.open() as file:
                    self._send_parts(file)
                result = self._complete()
            except ServiceError as error:
                # The upload was given up, as those left alone for long are: begin anew.
                if error.code != "UploadNotFoundException" or attempt == _RESTARTS:
                    raise
            else:
                self._progress.finish(blob.digest, result, human_size(blob.size))
                return result
        raise AssertionError  # the last attempt returned or raised

    def _begin(self) -> None:
        answer = self._patiently(self._client.call, "InitiateLayerUpload", self._repository)
        self._upload_id = answer["uploadId"]
        self._part_size = int(answer["partSize"])
        self._progress.start(self._blob.digest, "uploading", self._blob.size)

    def _send_parts(self, file: BinaryIO) -> None:
        offset, refusals = 0, 0
        while offset < self._blob.size:
            following = self._patiently(self._send_part, file, offset)
            refusals = 0 if following > offset else refusals + 1
            if refusals > PATIENCE:
                raise CommandError(
                    f"layer {self._blob.digest}: the server says it has {following} bytes, "
                    "whatever it is sent"
                )
            self._progress.advance(self._blob.digest, following - offset)
            offset = following

    def _send_part(self, file: BinaryIO, offset: int) -> int:
        """Send the part at `offset` and give where the next one begins."""
        file.seek(offset)
        part = file.read(min(self._part_size, self._blob.size - offset))
        if not part:
            raise CommandError(f"layer {self._blob.digest}: its file became shorter meanwhile")
        parameters: dict[str, Any] = {
            **self._repository,
            "uploadId": self._upload_id,
            "partFirstByte": offset,
            "partLastByte": offset + len(part) - 1,
            "layerPartBlob": part,
        }
        try:
            answer = self._client.call("UploadLayerPart", parameters)
        except ServiceError as error:
            last = error.body.get("lastValidByteReceived")
            if error.code != "InvalidLayerPartException" or last is None:
                raise
            # AWS: the member cannot be negative, so an upload that has nothing says 0, as one
            # with a single byte does.
            return int(last) + 1 if last else 0
        return int(answer["lastByteReceived"]) + 1

    def _complete(self) -> str:
        parameters = {
            **self._repository,
            "uploadId": self._upload_id,
            "layerDigests": [self._blob.digest],
        }
        try:
            self._patiently(self._client.call, "CompleteLayerUpload", parameters)
        except ServiceError as error:
            if error.code == "LayerAlreadyExistsException":
                return "already there"
            if error.code == "InvalidLayerException":
                raise CommandError(
                    f"layer {self._blob.digest} is damaged: its bytes have another digest "
                    f"({error.message}). Save or build the image again."
                ) from None
            raise
        return "uploaded"

    def _patiently(self, action: Callable[..., _Result], *arguments: Any) -> _Result:
        def tell(text: str) -> None:
            self._progress.tell(f"layer {self._blob.digest}: {text}")

        return patiently(
            partial(action, *arguments), connections=self._client.connections, tell=tell
        )
