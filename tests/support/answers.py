"""Whether an answer of the AWS door is one that the service model knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session

_MODEL: Final = Session().get_service_model("ecr")
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "boolean": (bool,),
    "double": (int, float),
    "integer": (int,),
    "list": (list,),
    "long": (int,),
    "map": (dict,),
    "string": (str,),
    "structure": (dict,),
    "timestamp": (int, float),
}


def faults_of(operation: str, answer: dict[str, Any]) -> list[str]:
    """Tell what the model does not allow in the body of a 200: members, types, enums, patterns.

    Lengths are not looked at: ECR itself answers empty lists where the model asks for one entry.
    """
    shape = _MODEL.operation_model(operation).output_shape
    assert shape is not None
    return list(_faults(shape, answer, operation))


def _faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not _is_of_type(shape, value):
        yield f"{path} is {value!r}, no {shape.type_name}"
    elif isinstance(shape, StructureShape):
        yield from _structure_faults(shape, value, path)
    elif isinstance(shape, ListShape):
        for one in value:
            yield from _faults(shape.member, one, f"{path}[]")
    elif isinstance(shape, MapShape):
        for name, one in value.items():
            yield from _faults(shape.value, one, f"{path}.{name}")
    elif isinstance(value, str):
        enum, pattern = shape.metadata.get("enum"), shape.metadata.get("pattern")
        if value not in (enum or [value]) or not re.fullmatch(pattern or ".*", value, re.DOTALL):
            yield f"{path} is {value!r}"


def _is_of_type(shape: Shape, value: Any) -> bool:
    return isinstance(value, _TYPES[shape.type_name])


def _structure_faults(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    yield from (f"{path} has no '{name}'" for name in value.keys() - shape.members.keys())
    yield from (f"{path} lacks '{name}'" for name in set(shape.required_members) - value.keys())
    for name in value.keys() & shape.members.keys():
        yield from _faults(shape.members[name], value[name], f"{path}.{name}")
