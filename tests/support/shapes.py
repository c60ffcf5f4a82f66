"""Random requests from the service model: mostly such as clients send, sometimes anything."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

from ecrate.aws.model import Shape

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def _strings(shape: Shape) -> st.SearchStrategy[Any]:
    kinds = [st.text(max_size=12), st.sampled_from(["sha256:" + "a" * 64, "latest", "x" * 301])]
    if shape.enum:
        kinds.append(st.sampled_from(shape.enum))
    if shape.pattern is not None:
        kinds.append(st.from_regex(shape.pattern, fullmatch=True))
    return st.one_of(kinds)


def _structures(shape: Shape) -> st.SearchStrategy[Any]:
    members = {name: values(member) for name, member in shape.members.items()}
    required = {name: members.pop(name) for name in shape.required}
    return st.fixed_dictionaries(required, optional=members)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Give values of the shape's type, most of which keep to its limits."""
    match shape.type:
        case "structure":
            return _structures(shape)
        case "list":
            assert shape.element is not None
            return st.lists(values(shape.element), max_size=3)
        case "string":
            return _strings(shape)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
        case _:
            return st.integers(-2, 10) | st.integers()


def requests(shape: Shape) -> st.SearchStrategy[Any]:
    """Give requests: the shape's values, also with a member replaced by anything or added."""
    spoiled = st.builds(
        lambda request, name, value: {**request, name: value},
        values(shape),
        st.sampled_from([*shape.members, "unknown"]),
        ANYTHING,
    )
    return values(shape) | spoiled | ANYTHING
