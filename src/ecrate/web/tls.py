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
    """A certificate chain and its key, both PEM files. Made before the workers, shared by them."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raise `OSError` (`ssl.SSLError` among them) when the files are not a pair."""
        self._files = (certificate, key)
        self._seen = self._stamps()
        self._complaint = ""
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(*self._files, password=_refuse_encrypted_key)

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in map(Path.stat, self._files))

    async def watch(self) -> None:
        """Load the files again whenever they changed; new connections get what is new."""
        while True:
            self._look()
            await asyncio.sleep(_LOOK_EVERY)

    def _look(self) -> None:
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return
            # Tried first: half of a new pair would take away the other half of the one in use.
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            self._load(self.context)
        except OSError as error:
            # Half of a pair may be there a moment before the other.
            if str(error) != self._complaint:
                self._complaint = str(error)
                _LOG.warning("cannot load the changed certificate yet: %s", error)
        else:
            self._seen, self._complaint = stamps, ""
            _LOG.info("took up the changed certificate")


def _refuse_encrypted_key() -> str:
    # OpenSSL would ask on the terminal, and wait.
    raise OSError("the key is encrypted, and there is nobody to ask for its password")
