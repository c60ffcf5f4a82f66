"""Answers as `aws` prints them: JSON and text. Tables are in `table`, YAML is in `yaml_text`.

Answers come as pages: those of a call that is not paged are one page. JSON, YAML and tables show
what the pages add up to, text and yaml-stream show page after page, and so does `--query`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from ecrate.aws.model import Shape
from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.pager import paged
from ecrate.cli.paging import Answer

Query = Callable[[Any], Any]
Timestamp = Callable[[Any], Any]


def compile_query(expression: str | None) -> Query:
    """Give the function that a JMESPath expression stands for."""
    if expression is None:
        return lambda value: value
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        problem, *picture = str(error).splitlines()
        raise CommandError(
            f"Bad value for --query {expression}: {problem.rstrip(':')}",
            BAD_COMMAND,
            details="\n".join(picture),
        ) from None

    def search(value: Any) -> Any:
        try:
            return compiled.search(value)
        except JMESPathError as error:
            raise CommandError(f"--query {expression} does not fit the answer: {error}") from None

    return search


@dataclass(frozen=True, slots=True)
class Style:
    """How answers are printed; `title` heads a table, `pager` is a command or empty."""

    form: str
    query: Query
    color: str
    title: str
    pager: str


def print_answer(answer: Answer, style: Style) -> None:
    """Print to standard output, on a terminal through the pager."""
    if style.form in ("text", "yaml-stream"):
        with paged(style.pager) as stream:
            for page in answer.pages(style.form):
                _write_page(style.query(page), style.form, stream)
        return
    value = style.query(answer.whole())
    with paged(style.pager) as stream:
        if style.form == "table":
            from ecrate.cli.table import render_table

            stream.write(render_table(style.title, value, color=style.color))
        elif value != {}:
            _write_value(value, style.form, stream)


def _write_page(value: Any, form: str, stream: IO[str]) -> None:
    if form == "text":
        stream.writelines(f"{line}\n" for line in text_lines(value))
    else:
        # One list a page, so that whoever reads them together reads one list.
        _write_value([value], "yaml", stream)
        stream.flush()


def _write_value(value: Any, form: str, stream: IO[str]) -> None:
    if form == "yaml":
        from ecrate.cli.yaml_text import write_yaml

        write_yaml(value, stream)
    else:
        stream.write(f"{to_json(value)}\n")


def to_json(value: Any) -> str:
    """Give indented JSON."""
    return json.dumps(value, indent=4, ensure_ascii=False, default=datetime.isoformat)


def arrange(shape: Shape, value: Any, timestamp: Timestamp) -> Any:
    """Give `value` with its members in the model's order, without nulls and unknown ones."""
    if value is None:
        return None
    if shape.type == "structure":
        return {
            name: arrange(inner, value[name], timestamp)
            for name, inner in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type == "list" and shape.element is not None:
        return [arrange(shape.element, item, timestamp) for item in value]
    if shape.type == "map" and shape.value is not None:
        return {key: arrange(shape.value, item, timestamp) for key, item in value.items()}
    return timestamp(value) if shape.type == "timestamp" else value


def on_the_wire(value: Any) -> Any:
    """Give a time as the service sent it: seconds since 1970."""
    return value


def iso8601(value: Any) -> Any:
    """Give a time of the service as ISO 8601 has it, in the zone of this machine."""
    if not isinstance(value, (int, float)):
        return value
    return datetime.fromtimestamp(value, UTC).astimezone().isoformat()


def text_lines(
    value: Any, name: str | None = None, columns: list[str] | None = None
) -> Iterator[str]:
    """Give tab-separated lines: a structure's scalars in one, each list or structure below.

    `name` is the member `value` stands in; `columns` are the scalars that all structures of a
    list have between them, so that columns line up.
    """
    if isinstance(value, dict):
        yield from _structure_lines(value, name, columns)
    elif isinstance(value, list):
        yield from _list_lines(value, name)
    else:
        yield str(value)


def _structure_lines(
    value: dict[str, Any], name: str | None, columns: list[str] | None
) -> Iterator[str]:
    names = sorted(key for key, item in value.items() if not _is_nested(item))
    # A column of the list that is nested in this element is still printed in its column.
    shown = names if columns is None else columns
    cells = [str(value.get(key, "")) for key in shown]
    if cells:
        yield "\t".join(cells if name is None else [name.upper(), *cells])
    for key in sorted(value.keys() - set(shown)):
        yield from text_lines(value[key], key)


def _list_lines(values: list[Any], name: str | None) -> Iterator[str]:
    if any(isinstance(item, dict) for item in values):
        structures = (item for item in values if isinstance(item, dict))
        columns = sorted({key for item in structures for key in item if not _is_nested(item[key])})
        for item in values:
            yield from text_lines(item, name, columns)
        return
    scalars = [str(item) for item in values if not _is_nested(item)]
    if name is not None:
        yield from (f"{name.upper()}\t{scalar}" for scalar in scalars)
    elif scalars:
        yield "\t".join(scalars)
    for item in values:
        if _is_nested(item):
            yield from text_lines(item, name)


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))
