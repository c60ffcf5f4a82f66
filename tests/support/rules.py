"""Requests that keep every rule of the service model, and such that break exactly one.

Both are read from botocore's own copy of the model, not from ecrate's reading of it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.model import ListShape, Shape, StructureShape
from botocore.session import Session

from tests.support.images import make_image
from tests.support.lifecycle import policy as lifecycle_policy
from tests.support.lifecycle import rule
from tests.support.policies import allow, policy

MODEL: Final = Session().get_service_model("ecr")
ACCOUNT: Final = "000000000000"
UNKNOWN: Final = "no/such"
DIGEST: Final = "sha256:" + "a" * 64
_LIFECYCLE: Final = lifecycle_policy(rule(1))
_FRIENDLY: Final = policy(allow("ecr:ListImages", Principal="*"))

# Good values of members that need more than their shape tells, by the shape's or member's name.
_VALUES: Final[dict[str, Any]] = {
    "ImageIdentifier": {"imageTag": "v1"},
    "Region": "us-west-2",
    "RepositoryFilterValue": "prod",
    "ReplicationBackfillId": "01234567-89ab-cdef-0123-456789abcdef",
    "RegistryPolicyText": policy(allow("ecr:CreateRepository", Principal="*", Resource="*")),
    "acceptedMediaTypes": ["application/json"],
    "artifactTypes": ["application/json"],
    "credentialArn": (f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecr-pullthroughcache/no"),
    "customRoleArn": f"arn:aws:iam::{ACCOUNT}:role/creator",
    "ecrRepositoryPrefix": "no",
    "ecrRepositoryPrefixes": ["no"],
    "filter": "v*",
    "imageDigest": DIGEST,
    "imageManifest": make_image().manifest,
    "imageTag": "v1",
    "kmsKey": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/one",
    "imageId": {"imageTag": "v1"},
    "layerDigest": DIGEST,
    "layerDigests": [DIGEST],
    "lifecyclePolicy": _LIFECYCLE,
    "lifecyclePolicyText": _LIFECYCLE,
    "name": "BLOB_MOUNTING",
    "policyText": _FRIENDLY,
    "prefix": "no",
    "prefixes": ["no"],
    "principalArn": f"arn:aws:iam::{ACCOUNT}:user/nobody",
    "registryId": ACCOUNT,
    "registryIds": [ACCOUNT],
    "repositoryName": UNKNOWN,
    "repositoryNames": [UNKNOWN],
    "repositoryPolicy": _FRIENDLY,
    "resourceArn": f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{UNKNOWN}",
    "upstreamRegistry": "ecr-public",
    "upstreamRegistryUrl": "public.ecr.aws",
    "upstreamRepositoryPrefix": "no",
    "uploadId": "01234567-89ab-cdef-0123-456789abcdef",
    "value": "ENABLED",
}
_WRONG_TYPES: Final[dict[str, Any]] = {
    "blob": 5, "boolean": "yes", "integer": "5", "list": {}, "long": "5", "string": 5,
    "structure": [],
}  # fmt: skip


@dataclass(frozen=True)
class Violation:
    """A request that breaks one rule: where (as error texts say it), how, and what ECR answers."""

    operation: str
    rule: str
    member: str
    members: dict[str, Any]
    code: str
    message: str | None

    @property
    def label(self) -> str:
        return f"{self.operation}-{self.member or 'request'}-{self.rule}"


@dataclass(frozen=True)
class _Break:
    """A bad value of one shape; `constraint` is the text in quotes, None for a wrong type."""

    rule: str
    member: str
    value: Any
    constraint: str | None


def input_of(operation: str) -> StructureShape | None:
    shape = MODEL.operation_model(operation).input_shape
    assert shape is None or isinstance(shape, StructureShape)
    return shape


def sample(operation: str, *more: str, **given: Any) -> dict[str, Any]:
    """Give the required members of an operation, those called `more`, and those given."""
    shape = input_of(operation)
    names = [] if shape is None else [*shape.required_members, *more]
    members = {} if shape is None else shape.members
    return {**{name: _good(members[name], name) for name in names}, **given}


def _good(shape: Shape, name: str) -> Any:
    known = _VALUES.get(shape.name, _VALUES.get(name))
    if known is not None:
        return known
    if isinstance(shape, StructureShape):
        return {each: _good(shape.members[each], each) for each in shape.required_members}
    if isinstance(shape, ListShape):
        return [_good(shape.member, name)]
    if shape.type_name == "string":
        enum: list[str] = shape.metadata.get("enum", [])
        return enum[0] if enum else name
    return {"boolean": True, "blob": b64encode(b"\0").decode()}.get(
        shape.type_name, shape.metadata.get("min", 1)
    )


def members_of(operation: str) -> set[str]:
    """Give every member of an operation's input, nested ones as `filter.tagStatus`, `tags[].Key`.

    Left out are those of which the model has only one value, since nothing hangs on them.
    """
    shape = input_of(operation)
    return set() if shape is None else set(_paths(shape, ""))


def _paths(shape: Shape, path: str) -> Iterator[str]:
    if path and not path.endswith("[]") and len(shape.metadata.get("enum", "more")) > 1:
        yield path
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from _paths(member, f"{path}.{name}".lstrip("."))
    if isinstance(shape, ListShape):
        yield from _paths(shape.member, f"{path}[]")


def violations(operation: str) -> Iterator[Violation]:
    """Break each rule that the model has for an operation's input, one at a time."""
    shape = input_of(operation)
    if shape is None:
        return
    for one in _structure_breaks(shape, ""):
        if one.constraint is None:
            code, message = "SerializationException", None
        else:
            code = "InvalidParameterException"
            message = (
                f"Invalid parameter at '{one.member}' failed to satisfy constraint: "
                f"'{one.constraint}'"
            )
        yield Violation(operation, one.rule, one.member, one.value, code, message)


def _breaks(shape: Shape, name: str, path: str) -> Iterator[_Break]:
    yield _Break("type", path, _WRONG_TYPES[shape.type_name], None)
    if isinstance(shape, StructureShape):
        yield from _structure_breaks(shape, path)
    elif isinstance(shape, ListShape):
        yield from _list_breaks(shape, name, path)
    elif shape.type_name == "string":
        yield from _string_breaks(shape, name, path)
    elif shape.type_name in {"integer", "long"}:
        yield from _number_breaks(shape, path)


def _structure_breaks(shape: StructureShape, path: str) -> Iterator[_Break]:
    good = _good(shape, "")
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        rest = {each: value for each, value in good.items() if each != name}
        yield _Break("required", prefix + name, rest, "Member must not be null")
        yield _Break("null", prefix + name, {**rest, name: None}, "Member must not be null")
    for name, member in shape.members.items():
        for inner in _breaks(member, name, prefix + name):
            yield _Break(inner.rule, inner.member, {**good, name: inner.value}, inner.constraint)


def _list_breaks(shape: ListShape, name: str, path: str) -> Iterator[_Break]:
    good = _VALUES.get(name) or [_good(shape.member, name)]
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
    if least:
        text = f"Member must have length greater than or equal to {least}"
        yield _Break("size-min", path, good * (least - 1), text)
    if most is not None:
        text = f"Member must have length less than or equal to {most}"
        yield _Break("size-max", path, good * (most + 1), text)
    yield _Break("null-element", path, [None], None)
    for inner in _breaks(shape.member, name, f"{path}.2.member"):
        yield _Break(inner.rule, inner.member, [*good, inner.value], inner.constraint)


def _string_breaks(shape: Shape, name: str, path: str) -> Iterator[_Break]:
    rules = shape.metadata
    good = _good(shape, name)
    good = good[0] if isinstance(good, list) else good
    least, most, pattern = rules.get("min", 0), rules.get("max"), rules.get("pattern")
    if least:
        text = f"Member must have length greater than or equal to {least}"
        yield _Break("min", path, good[: least - 1], text)
    if most is not None:
        text = f"Member must have length less than or equal to {most}"
        yield _Break("max", path, good + good[-1] * (most + 1 - len(good)), text)
    if pattern is not None:
        text = f"Member must satisfy regular expression pattern: {pattern}"
        if shape.name == "RepositoryName":
            # AWS: dossier section 1.5; its end lacks a quote.
            text = (
                "must satisfy regular expression "
                "'(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
            )
        for rule, value in _without(pattern, good):
            yield _Break(rule, path, value, text)
    if "enum" in rules:
        text = f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]"
        for rule, value in ("enum", "NONSENSE"), ("enum-case", good.swapcase()):
            yield _Break(rule, path, value, text)


def _without(pattern: str, good: str) -> Iterator[tuple[str, str]]:
    """Give texts of good length that the pattern does not allow."""
    assert re.fullmatch(pattern, good)
    yield from (
        ("pattern", "!" * len(good)),
        ("pattern-start", f" {good[1:]}"),
        ("pattern-end", f"{good[:-1]}\n"),
        ("pattern-line", f"{good}\n"),
        ("pattern-ascii", f"{good[:-1]}\N{LATIN SMALL LETTER E WITH ACUTE}"),
    )


def _number_breaks(shape: Shape, path: str) -> Iterator[_Break]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None:
        text = f"Member must have value greater than or equal to {least}"
        yield _Break("min", path, least - 1, text)
    if most is not None:
        text = f"Member must have value less than or equal to {most}"
        yield _Break("max", path, most + 1, text)
