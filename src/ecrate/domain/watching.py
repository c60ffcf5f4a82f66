"""What watches the seams: told what is done there, how long it took, and whether it failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol


class Watch(Protocol):
    """Watches a block; an exception that leaves it is a failure, and goes on."""

    def __call__(self, what: str) -> AbstractContextManager[object]:
        """Watch what is done in a block, `what` being the seam's own word for it."""


def together(watches: Sequence[Watch]) -> Watch:
    """Give what lets all of them watch."""
    if len(watches) == 1:
        return watches[0]

    @contextmanager
    def watch(what: str) -> Iterator[None]:
        with ExitStack() as opened:
            for one in watches:
                opened.enter_context(one(what))
            yield

    return watch
