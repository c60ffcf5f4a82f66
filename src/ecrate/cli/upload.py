"""One layer through the layer API: begin, parts in their order, complete.

A part that was cut off is sent again. If the service has it already, or has less than we think,
it says so (`lastValidByteReceived`), and the upload goes on behind that byte.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Final

from ecrate.cli.client import Client, pause
from ecrate.cli.failures import CommandError, ConnectionFailedError, ServiceError
from ecrate.cli.layout import Blob
from ecrate.cli.progress import Progress, human_size

_PATIENCE: Final = 10  # failures in a row, with pauses of more than a minute in all
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

    def run(self) -> None:
        """Upload the layer; that it is there already is fine. Raises `CommandError`."""
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
                self._progress.finish(blob.digest, result)
                return

    def _begin(self) -> None:
        answer = self._client.call("InitiateLayerUpload", self._repository)
        self._upload_id = answer["uploadId"]
        self._part_size = int(answer["partSize"])
        self._progress.start(self._blob.digest, "uploading", self._blob.size)

    def _send_parts(self, file: BinaryIO) -> None:
        offset, failures = 0, 0
        while offset < self._blob.size:
            try:
                following = self._send_part(file, offset)
            except (ConnectionFailedError, ServiceError) as error:
                failures += 1
                if failures > _PATIENCE or not _is_passing(error):
                    raise
                self._progress.tell(f"layer {self._blob.digest}: {_first_line(error)}; trying on")
                self._client.sleep(pause(failures))
                continue
            if following > offset:
                failures = 0
            else:
                failures += 1
                if failures > _PATIENCE:
                    raise CommandError(f"layer {self._blob.digest}: the server takes no more parts")
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
        failures = 0
        while True:
            try:
                self._client.call("CompleteLayerUpload", parameters)
            except (ConnectionFailedError, ServiceError) as error:
                code = getattr(error, "code", "")
                if code == "LayerAlreadyExistsException":
                    return "already there"
                if code == "InvalidLayerException":
                    raise CommandError(
                        f"layer {self._blob.digest} is damaged: its bytes have another digest "
                        f"({getattr(error, 'message', '')}). Save or build the image again."
                    ) from None
                failures += 1
                if failures > _PATIENCE or not _is_passing(error):
                    raise
                self._client.sleep(pause(failures))
            else:
                return f"uploaded, {human_size(self._blob.size)}"


def present_layers(client: Client, repository: dict[str, str], digests: list[str]) -> set[str]:
    """Give those of the layers that the repository has."""
    found: set[str] = set()
    most = 100  # in one call
    for start in range(0, len(digests), most):
        answer = client.call(
            "BatchCheckLayerAvailability",
            {**repository, "layerDigests": digests[start : start + most]},
        )
        found |= {
            layer["layerDigest"]
            for layer in answer.get("layers", ())
            if layer.get("layerAvailability") == "AVAILABLE"
        }
    return found


def _is_passing(error: CommandError) -> bool:
    """Tell whether the same call may succeed later."""
    if isinstance(error, ServiceError):
        return error.code in ("ServerException", "ThrottlingException") or error.code.startswith(
            "5"
        )
    return True


def _first_line(error: CommandError) -> str:
    return str(error).partition("\n")[0]
