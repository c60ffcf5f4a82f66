"""Fetches under way in this process: each once, however many clients wait for it.

A fetch goes on to its end whoever loses patience. Nobody waits for one with a thread: an operation
that needs one raises `Waiting`, and the front runs it again once the fetch has ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ecrate.domain.errors import EcrateError
from ecrate.domain.upstream_errors import UpstreamUnavailable

_LOG: Final = logging.getLogger("ecrate")
_SMALL_THREADS: Final = 16
_LAYER_THREADS: Final = 16


class Fetch:
    """Something that is being fetched; of a layer, `spool` is the file that its bytes grow in
    once there is one, and `size` the bytes it is going to have.
    """

    def __init__(self, key: Hashable, size: int = 0) -> None:
        self.key = key
        self.size = size
        self.spool: Path | None = None
        self.error: EcrateError | None = None
        self.ended: Future[None] = Future()

    @property
    def is_over(self) -> bool:
        return self.ended.done()


Work = Callable[[Fetch], None]
Waited = Mapping[Hashable, Fetch]
NOTHING_WAITED: Final[Waited] = {}


class Waiting(Exception):
    """No failure: an operation needs the end of these fetches, and is to be run again then."""

    def __init__(self, fetches: Sequence[Fetch]) -> None:
        super().__init__()
        self.fetches = fetches


class Fetches:
    """The fetches of a process, in threads of their own: slow upstreams hold up nobody else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, Fetch] = {}
        self._small = ThreadPoolExecutor(_SMALL_THREADS, thread_name_prefix="fetch")
        self._layers = ThreadPoolExecutor(_LAYER_THREADS, thread_name_prefix="fetch-layer")
        self.is_stopping = threading.Event()

    def start(
        self, key: Hashable, work: Work, *, upstream: str, layer_size: int | None = None
    ) -> Fetch:
        """Give the fetch of this key that runs, else begin one: `work` in a thread.

        `upstream` is a host, for the error if something goes wrong that should not;
        `layer_size` is given for a layer, which may take long.
        """
        with self._lock:
            running = self._running.get(key)
            if running is not None:
                return running
            fetch = Fetch(key, layer_size or 0)
            if self.is_stopping.is_set():
                fetch.error = UpstreamUnavailable(upstream, "the server stops")
                fetch.ended.set_result(None)
                return fetch
            pool = self._small if layer_size is None else self._layers
            pool.submit(self._run, fetch, work, upstream)
            self._running[key] = fetch
            return fetch

    def _run(self, fetch: Fetch, work: Work, upstream: str) -> None:
        try:
            work(fetch)
        except EcrateError as error:
            fetch.error = error
        except Exception:  # noqa: BLE001 - the outermost point of this thread
            _LOG.exception("a fetch from %s failed", upstream)
            fetch.error = UpstreamUnavailable(upstream, "the server failed; see its log")
        finally:
            with self._lock:
                del self._running[fetch.key]
            fetch.ended.set_result(None)

    def stop(self) -> None:
        """Begin none any more, and wait for the end of those under way: they notice soon."""
        with self._lock:
            self.is_stopping.set()
        self._small.shutdown()
        self._layers.shutdown()
