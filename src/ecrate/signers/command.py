"""Keys that another program has: in a token by PKCS#11, in a key management service."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ecrate.signers.certificates import Chain, hash_of, is_signed, joined
from ecrate.signers.port import SignerError

# A signature of RSA with 4096 bits has 512 bytes.
_LARGEST: Final = 4096
_LONGEST_COMPLAINT: Final = 500


class CommandSigner:
    """Signs by a program: it gets the data on standard input, and in its environment
    `ECRATE_ALGORITHM` (as `port.ALGORITHMS`) and `ECRATE_DIGEST`, the data's hash in hex; it gives
    the signature's bytes on standard output, ECDSA's in DER or as RFC 7518 has them.
    """

    def __init__(self, chain: Chain, words: Sequence[str], *, seconds: float) -> None:
        self.chain = chain
        self._words = words
        self._seconds = seconds

    def sign(self, data: bytes, algorithm: str) -> bytes:
        kind = hashes.Hash(hash_of(algorithm))
        kind.update(data)
        environment = {
            **os.environ,
            "ECRATE_ALGORITHM": algorithm,
            "ECRATE_DIGEST": kind.finalize().hex(),
        }
        with tempfile.TemporaryFile() as source:
            source.write(data)
            source.seek(0)
            given = self._run(source, environment)
        for signature in self._forms(given):
            if is_signed(self.chain.key, algorithm, data, signature):
                return signature
        raise SignerError(
            f"what {self._words[0]} gave is no {algorithm} signature by the key of the certificate "
            f"of {self.chain.name}"
        )

    def _forms(self, given: bytes) -> list[bytes]:
        """Give what the bytes may mean."""
        key = self.chain.key
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return [given]
        with contextlib.suppress(ValueError, OverflowError):
            return [given, joined(given, key.key_size)]
        return [given]

    def _run(self, source: IO[bytes], environment: dict[str, str]) -> bytes:
        try:
            process = subprocess.Popen(
                self._words,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise SignerError(f"cannot run {self._words[0]}: {error.strerror}") from None
        with process:
            try:
                given, complaint = self._read(process)
            finally:
                # Whatever it began ends with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            if process.wait() != 0:
                text = complaint.decode(errors="replace").strip() or "it says nothing"
                raise SignerError(f"{self._words[0]} failed: {text}", is_passing=True)
        return given

    def _read(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Give what the process writes, until it ends; raises `SignerError`."""
        assert process.stdout is not None  # noqa: S101 - asked for
        assert process.stderr is not None  # noqa: S101 - asked for
        given, complaint = bytearray(), bytearray()
        end = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, given)
            selector.register(process.stderr, selectors.EVENT_READ, complaint)
            while selector.get_map():
                ready = selector.select(max(0.0, end - time.monotonic()))
                if not ready:
                    raise SignerError(
                        f"{self._words[0]} took more than {self._seconds:g} s", is_passing=True
                    )
                for key, _ in ready:
                    if piece := os.read(key.fd, _LARGEST):
                        key.data.extend(piece)
                    else:
                        selector.unregister(key.fileobj)
                del complaint[_LONGEST_COMPLAINT:]
                if len(given) > _LARGEST:
                    raise SignerError(f"{self._words[0]} gave more than {_LARGEST} bytes")
        # Who closes its output may yet go on.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
        return bytes(given), bytes(complaint)
