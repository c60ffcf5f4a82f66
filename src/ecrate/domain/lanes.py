"""Lanes: background work that keeps an order of its own for each thing it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work. `batch` names what it is a part of, None for nothing; `created_at` is epoch
    seconds; `body` is JSON that only its kind of work understands.
    """

    id: int
    batch: str | None
    created_at: float
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane with the task at its head, which was tried `attempts` times in vain.

    `owner` is whom the work is for: of those, each gets its share.
    """

    id: int
    owner: str
    key: str
    attempts: int
    task: Task


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task was not done. A `code` is for clients; with `is_final`, trying again is in vain;
    otherwise that is not worth doing before `seconds` have passed.
    """

    reason: str
    code: str = ""
    is_final: bool = False
    seconds: float = 0.0
