"""Which errors a function may raise: those that its code, or code it can reach, names."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ecrate.domain.errors import EcrateError


def errors_named_below(function: Callable[..., Any]) -> set[type[EcrateError]]:
    """Follow every name of ours that `function` uses, through functions, classes and modules."""
    found: set[type[EcrateError]] = set()
    seen: set[object] = set()
    waiting: list[object] = [function]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type) and issubclass(one, EcrateError):
            found.add(one)
        elif isinstance(one, type):
            waiting.extend(vars(one).values())
        elif isinstance(one, FunctionType):
            below = inspect.unwrap(one)  # its decorators
            waiting.extend(_named(below.__code__, below.__globals__))
    return found - {EcrateError}


def _named(code: CodeType, namespace: dict[str, Any]) -> Iterator[object]:
    module: ModuleType | None = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            value = namespace.get(instruction.argval)
            module = value if isinstance(value, ModuleType) else None
            if getattr(value, "__module__", "").startswith("ecrate."):
                yield value
        elif module is not None and instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
            # `errors.X`, `store.find_image`
            if module.__name__.startswith("ecrate."):
                yield getattr(module, instruction.argval)
            module = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant, namespace)
