"""An object's bytes as they come from the store."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError
from typing_extensions import override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody


class BlobReader(io.RawIOBase):
    """Reads an answer of GetObject; raises `OSError` when it breaks off."""

    def __init__(self, body: StreamingBody) -> None:
        self._body = body

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return self._body.readinto(cast("Any", buffer))
        except BotoCoreError as error:
            raise OSError(f"the store broke off: {error}") from error

    @override
    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
