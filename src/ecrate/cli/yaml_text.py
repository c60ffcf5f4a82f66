"""YAML in and out, byte for byte as version 2 of the AWS command line writes it.

That one writes with ruamel.yaml and libyaml, whose choice of quotes and line breaks no other
library makes; reading follows YAML 1.2, where `no` is a text. Imported only when YAML is asked for.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from datetime import datetime
from typing import IO, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError as YamlError

from ecrate.aws.model import Shape

__all__ = ["YamlError", "parse_yaml", "write_input_sample", "write_yaml"]


def parse_yaml(text: str | bytes) -> Any:
    """Give what one YAML document says; raises `YamlError`."""
    return YAML(typ="safe", pure=True).load(text)


def write_yaml(value: Any, stream: IO[str]) -> None:
    """Write a value; one that is no list and no map as JSON, which needs no end mark."""
    if value is None or isinstance(value, (bool, int, float, str, datetime)):
        text = json.dumps(value, ensure_ascii=False, default=datetime.isoformat)
        stream.write(f"{text}\n")
        return
    yaml = YAML(typ="safe")
    yaml.representer.default_flow_style = False
    yaml.dump(value, stream)


def write_input_sample(shape: Shape, sample: Any, stream: IO[str]) -> None:
    """Write a sample of an operation's input, each member with a comment on what it is."""
    yaml = YAML()
    yaml.representer.add_representer(bytes, _represent_bytes)
    yaml.dump(_commented(shape, sample), stream)


def _represent_bytes(representer: Any, _: bytes) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:binary", "")


def _commented(shape: Shape, sample: Any) -> Any:
    if shape.type == "blob":
        return b""
    if shape.type == "list" and shape.element is not None:
        return [_commented(shape.element, each) for each in sample]
    if shape.type == "map" and shape.value is not None:
        return {key: _commented(shape.value, each) for key, each in sample.items()}
    if shape.type != "structure":
        return sample
    made = CommentedMap()
    for name, each in sample.items():
        inner = shape.members[name]
        made[name] = _commented(inner, each)
        documentation = shape.member_documentation[name] or inner.documentation
        comment = _comment(inner, documentation, is_required=name in shape.required)
        if comment:
            made.yaml_add_eol_comment(f"# {comment}", name)
    return made


def _comment(shape: Shape, documentation: str, *, is_required: bool) -> str:
    parts = ["[REQUIRED]"] if is_required else []
    parts.append(_first_sentence(documentation))
    if shape.enum:
        parts.append(f"Valid values are: {', '.join(shape.enum)}.")
    comment = " ".join(parts)
    return "" if comment.isspace() else comment


def _first_sentence(documentation: str) -> str:
    """Give the text before the first full stop or colon, as it is, with a full stop."""
    try:
        # The documentation is botocore's, as trusted as its code.
        text = "".join(ET.fromstring(f"<doc>{documentation}</doc>").itertext())  # noqa: S314
    except ET.ParseError:
        text = documentation
    sentence = re.split(r"[.:]+", text, maxsplit=1)[0]
    return re.sub("[\n\u2028]", " ", f"{sentence}." if sentence else "")
