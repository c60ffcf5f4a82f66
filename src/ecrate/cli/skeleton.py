"""Samples of an operation's input and output, for `--generate-cli-skeleton`."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from ecrate.aws.model import Shape

_SCALARS: Final = {
    "integer": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "boolean": True,
}


def skeleton(shape: Shape, *, with_names: bool) -> Any:
    """Give a value with every member of `shape` and one element in each list.

    Texts are empty (or the first value of an enum), or with `with_names` the member's name.
    """
    return _sample(shape, "", (), with_names=with_names)


def _sample(shape: Shape, name: str, above: tuple[str, ...], *, with_names: bool) -> Any:
    inside = (*above, shape.name)
    if shape.type == "structure":
        if above.count(shape.name) > 1:
            return {}
        return {
            member: _sample(inner, member, inside, with_names=with_names)
            for member, inner in shape.members.items()
        }
    if shape.type == "list" and shape.element is not None:
        return [_sample(shape.element, shape.element.name, inside, with_names=with_names)]
    if shape.type == "map" and shape.value is not None:
        return {"KeyName": _sample(shape.value, "", inside, with_names=with_names)}
    if shape.type == "timestamp":
        # A new one each time, since YAML marks what is the same object.
        return dt.datetime(1970, 1, 1)  # noqa: DTZ001 - `aws` prints it without a zone
    if shape.type == "string":
        return name if with_names else next(iter(shape.enum), "")
    return _SCALARS.get(shape.type)
