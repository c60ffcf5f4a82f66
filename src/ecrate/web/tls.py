"""TLS: the server's certificate, taken up anew when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

_LOG: Final = logging.getLogger("ecrate")
_LOOK_EVERY: Final = 1.0


class Certificate:
    """A certificate chain and its key, both PEM files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raise `OSError` (`ssl.SSLError` among them) when the files are not a pair."""
        self._files = (certificate, key)
        self._seen = self._stamps()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load()

    def _load(self) -> None:
        self.context.load_cert_chain(*self._files)

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in map(Path.stat, self._files))

    async def watch(self) -> None:
        """Load the files again whenever they changed; new connections get what is new."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                stamps = self._stamps()
                if stamps != self._seen:
                    self._seen = stamps
                    self._load()
                    _LOG.info("took up the changed certificate")
            except OSError as error:
                # Half of a pair may be there a moment before the other.
                _LOG.warning("cannot load the changed certificate yet: %s", error)
