"""ECR's service model, read from the installed botocore.

Only the data file is read; botocore itself is not imported, which would cost every process
0.1 s and 14 MB. Corrections stand in `model_patches.json`, each with its reason.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

API_VERSION: Final = "2015-09-21"


@dataclass(slots=True)
class Shape:
    """A type of the model. Members, element, key and value are filled in after all shapes exist,
    since shapes may refer to each other in circles.
    """

    name: str
    type: str
    documentation: str = ""
    members: dict[str, Shape] = field(default_factory=dict)
    member_documentation: dict[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    element: Shape | None = None
    key: Shape | None = None
    value: Shape | None = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API; `errors` are shape names, `cli_name` is in kebab case."""

    name: str
    input: Shape
    output: Shape
    errors: tuple[str, ...]
    documentation: str

    @property
    def cli_name(self) -> str:
        return kebab(self.name)


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """All operations by name, and the shapes they are made of."""

    operations: dict[str, Operation]
    shapes: dict[str, Shape]
    target_prefix: str
    signing_name: str
    documentation: str


def kebab(name: str) -> str:
    """Give `layerPartBlob` or `PutImage` as the command line spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def data_file(name: str) -> Path:
    """Give the path of one of botocore's files on ECR, such as `paginators-1.json`."""
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("botocore, which has ECR's service model, is not installed")
    return Path(spec.submodule_search_locations[0], "data", "ecr", API_VERSION, name)


@functools.cache
def service_model() -> ServiceModel:
    """Read the model, once a process."""
    raw = json.loads(gzip.decompress(data_file("service-2.json.gz").read_bytes()))
    _apply_patches(raw)
    shapes = {name: _shape(name, data) for name, data in raw["shapes"].items()}
    for name, data in raw["shapes"].items():
        _connect(shapes[name], data, shapes)
    nothing = Shape("Nothing", "structure")

    def shape_of(data: dict[str, Any] | None) -> Shape:
        return nothing if data is None else shapes[data["shape"]]

    operations = {
        name: Operation(
            name=name,
            input=shape_of(data.get("input")),
            output=shape_of(data.get("output")),
            errors=tuple(error["shape"] for error in data.get("errors", ())),
            documentation=data.get("documentation", ""),
        )
        for name, data in raw["operations"].items()
    }
    metadata = raw["metadata"]
    return ServiceModel(
        operations=operations,
        shapes=shapes,
        target_prefix=metadata["targetPrefix"],
        signing_name=metadata["signingName"],
        documentation=raw.get("documentation", ""),
    )


def _apply_patches(raw: dict[str, Any]) -> None:
    patches = json.loads(Path(__file__).with_name("model_patches.json").read_bytes())
    for patch in patches:
        raw["shapes"][patch["shape"]].update(patch["change"])


def _shape(name: str, data: dict[str, Any]) -> Shape:
    return Shape(
        name=name,
        type=data["type"],
        documentation=data.get("documentation", ""),
        required=tuple(data.get("required", ())),
        minimum=data.get("min"),
        maximum=data.get("max"),
        pattern=data.get("pattern"),
        enum=tuple(data.get("enum", ())),
    )


def _connect(shape: Shape, data: dict[str, Any], shapes: dict[str, Shape]) -> None:
    for name, member in data.get("members", {}).items():
        shape.members[name] = shapes[member["shape"]]
        shape.member_documentation[name] = member.get("documentation", "")
    if shape.type == "list":
        shape.element = shapes[data["member"]["shape"]]
    if shape.type == "map":
        shape.key, shape.value = shapes[data["key"]["shape"]], shapes[data["value"]["shape"]]
