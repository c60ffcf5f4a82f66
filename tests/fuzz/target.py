"""What a fuzz target is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


@dataclass(frozen=True)
class Target(Generic[T]):
    """A parser under attack: what it is given, and the check of what it makes of it."""

    name: str
    values: st.SearchStrategy[T]
    check: Callable[[T], None]


def attempt(
    errors: tuple[type[Exception], ...], function: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Give what the function returns, or the error of a declared kind that it raises."""
    try:
        return function(*arguments, **named)
    except errors as error:
        return error
