"""What has to be true of a registry whose clients got some answers, and lost others.

Everything is written by one client and read by all. A write whose answer was lost may have
happened, may never happen, and may still happen: what it wrote is possible from its beginning on
for ever. An acknowledged write makes everything acknowledged before it impossible.

    write "a" ----ok          "a" possible .......
                 write "b" ------ok       "b" possible ......
                                 ^ "a" is over for reads that begin from here on
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tests.support.images import Blob

V = TypeVar("V")

_NEVER: Final = float("inf")


@dataclass
class Write(Generic[V]):
    """A value, and the moment from which on it can no longer be seen."""

    value: V
    over: float = _NEVER
    is_lost: bool = False


class History(Generic[V]):
    """What one thing may be."""

    def __init__(self, value: V) -> None:
        self._writes = [Write(value)]

    def begin(self, value: V) -> Write[V]:
        write = Write(value)
        self._writes.append(write)
        return write

    def succeed(self, write: Write[V], now: int) -> None:
        """Note an acknowledgement."""
        for other in self._writes:
            if other is not write and not other.is_lost:
                other.over = min(other.over, now)

    def refuse(self, write: Write[V]) -> None:
        """Note that it was refused, and so can never have happened."""
        self._writes.remove(write)

    def possible(self, since: int = 0) -> set[V]:
        """Give what a read that began at `since` and has just ended may have seen."""
        return {write.value for write in self._writes if write.over >= since}

    @property
    def is_certain(self) -> bool:
        return sum(write.over == _NEVER for write in self._writes) == 1

    @property
    def losses(self) -> int:
        return sum(write.is_lost for write in self._writes)


@dataclass
class Image:
    """An image, or an index of `children`; its manifest is like no other."""

    owner: int
    repository: str
    manifest: str
    digest: str
    media_type: str
    blobs: tuple[Blob, ...] = ()
    children: tuple[str, ...] = ()
    exists: History[bool] = field(default_factory=lambda: History(value=False))


@dataclass
class Tag:
    """A tag of one repository, and the digest that it is at."""

    owner: int
    repository: str
    name: str
    made: int
    digest: History[str | None] = field(default_factory=lambda: History(None))


class World:
    """All that clients did so far, and what was wrong about the answers.

    A layer can be relied on for `grace` seconds after it was pushed or found; while
    `trusts_clock`, that is.
    """

    def __init__(self, repositories: Sequence[str], shared: Sequence[Blob], grace: float) -> None:
        self.repositories = repositories
        self.shared = shared
        self.images: dict[tuple[str, str], Image] = {}
        self.tags: dict[tuple[str, str], Tag] = {}
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.checked = 0
        self.trusts_clock = True
        self._grace = grace
        self._relied: dict[tuple[str, str], float] = {}
        self._moments = itertools.count(1)
        self._lock = threading.Lock()

    def now(self) -> int:
        """Give a moment after all that were given before."""
        return next(self._moments)

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def check(self, what: str, *, is_true: bool, told: object = "") -> None:
        """Count something that was looked at, and note it where it is not as it must be."""
        with self._lock:
            self.checked += 1
            if not is_true:
                self.violations.append(f"{what}: {told}" if told else what)

    def rely(self, repository: str, digest: str, since: float) -> None:
        """Note that a layer was said at `since`, a monotonic time, or later, to be there."""
        self._relied[repository, digest] = since

    def can_rely(self, repository: str, digests: Sequence[str]) -> bool:
        """Tell whether all of these layers have to be there still."""
        after = time.monotonic() - self._grace
        return self.trusts_clock and all(
            self._relied.get((repository, digest), 0.0) > after for digest in digests
        )

    def add_image(self, image: Image) -> Image:
        with self._lock:
            return self.images.setdefault((image.repository, image.digest), image)

    def add_tag(self, owner: int, repository: str, name: str) -> Tag:
        with self._lock:
            made = Tag(owner, repository, name, self.now())
            return self.tags.setdefault((repository, name), made)

    def all_images(self) -> list[Image]:
        with self._lock:
            return list(self.images.values())

    def all_tags(self) -> list[Tag]:
        with self._lock:
            return list(self.tags.values())

    def forget(self, things: Sequence[Image | Tag]) -> None:
        """Look no longer at what was deleted long ago."""
        with self._lock:
            for one in things:
                if isinstance(one, Image):
                    del self.images[one.repository, one.digest]
                else:
                    del self.tags[one.repository, one.name]
