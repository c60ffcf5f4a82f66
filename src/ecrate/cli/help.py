"""Help pages: of the service, its operations, the waiters and get-login-password.

A page is made of the service model only; how it looks is up to the page it is written on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ecrate.aws.model import Operation, Shape, service_model
from ecrate.cli.arguments import Argument, arguments_of
from ecrate.cli.options import COMMON_OPTIONS
from ecrate.cli.page import Page, TextPage
from ecrate.cli.pager import manual_pager, paged
from ecrate.cli.paging import Paging, paging_of
from ecrate.cli.wait import waiters

_DEEPEST: Final = 12
_PAGE_OPTIONS: Final = (
    ("starting-token", "string", "Token of an earlier, cut answer (its NextToken) to go on from."),
    ("page-size", "integer", "Items to ask for in each call; the output does not change."),
    ("max-items", "integer", "Items to print at most; if there are more, NextToken is printed."),
)
_INPUT_JSON: Final = (
    "The call's input as JSON (or file://PATH to it), in the form that --generate-cli-skeleton "
    "prints. Other options override its members."
)
_INPUT_YAML: Final = (
    "The same as YAML, in the form that --generate-cli-skeleton yaml-input prints. Not together "
    "with --cli-input-json."
)
_SKELETON: Final = (
    "Print a sample instead of calling: of the input (input, or no value), the same as YAML with "
    "comments (yaml-input), or, after a check of the options, of the output (output)."
)
_LOGIN: Final = (
    "<p>Prints a password for docker and other container clients, which is good for twelve hours. "
    "The user name is AWS.</p>"
)


def show(write: Callable[[Page], None]) -> None:
    """Print a page, through the user's pager where the output is a terminal."""
    page = TextPage()
    write(page)
    with paged(manual_pager()) as stream:
        stream.write(page.text())


def write_service(page: Page) -> None:
    """Write the page that lists all commands of the service."""
    page.title("ecr", "Amazon Elastic Container Registry")
    page.section("DESCRIPTION")
    page.prose(service_model().documentation)
    names = [each.cli_name for each in service_model().operations.values()]
    _commands(page, sorted([*names, "get-login-password", "help", "wait"]))


def write_wait(page: Page) -> None:
    """Write the page that lists the waiters."""
    page.title("wait", "Wait until something is so.")
    page.section("DESCRIPTION")
    page.prose("<p>Waits until something is so, asking the API again and again.</p>")
    _commands(page, list(waiters()))


def _commands(page: Page, names: list[str]) -> None:
    page.section("AVAILABLE COMMANDS")
    for name in names:
        page.line(f"o {name}")
        page.blank()


def write_waiter(page: Page, name: str) -> None:
    """Write the page of one waiter, whose options are its operation's."""
    waiter = waiters()[name]
    until = waiter.get("description") or f"Wait until {name.replace('-', ' ')}"
    text = (
        f"<p>{until}. Asks every {waiter['delay']} seconds, at most {waiter['maxAttempts']} "
        "times; then, or where it can no longer be, ends with exit code 255.</p>"
    )
    operation = service_model().operations[waiter["operation"]]
    _command(page, name, text, operation, paging=None, output=None)


def write_login(page: Page) -> None:
    """Write the page of get-login-password."""
    page.title("get-login-password", "Print a password for container clients.")
    page.section("DESCRIPTION")
    page.prose(_LOGIN)
    page.section("SYNOPSIS")
    page.line("  get-login-password")
    _common_synopsis(page)
    page.section("OPTIONS")
    page.line("None")
    page.blank()
    _common_options(page)
    page.section("EXAMPLES")
    page.line("ecrate ecr get-login-password \\")
    page.line("    | docker login --username AWS --password-stdin 127.0.0.1:5100")
    page.blank()


def write_operation(page: Page, operation: Operation) -> None:
    """Write the page of one operation."""
    _command(
        page,
        operation.cli_name,
        operation.documentation,
        operation,
        paging=paging_of(operation.name),
        output=operation.output,
    )


def _command(
    page: Page,
    name: str,
    documentation: str,
    operation: Operation,
    *,
    paging: Paging | None,
    output: Shape | None,
) -> None:
    hidden = paging.members if paging else ()
    arguments = [each for each in arguments_of(operation) if each.member not in hidden]
    page.title(name, documentation)
    page.section("DESCRIPTION")
    page.prose(documentation)
    if paging is not None:
        page.prose(
            f"<p>{name} is a paginated operation: several calls may be made to get all results; "
            "--no-paginate makes one. With --output text, --query works on each page, that is on "
            f"{', '.join(paging.results)}.</p>"
        )
    _synopsis(page, name, arguments, is_paged=paging is not None)
    page.section("OPTIONS")
    for argument in arguments:
        _option(page, argument)
    for option in _call_options(is_paged=paging is not None):
        page.option(*option)
    _common_options(page)
    page.section("OUTPUT")
    if output is None or not output.members:
        page.line("None")
        page.blank()
    else:
        _members(page, output, 0, ())


def _synopsis(page: Page, name: str, arguments: list[Argument], *, is_paged: bool) -> None:
    page.section("SYNOPSIS")
    page.line(f"  {name}")
    for argument in arguments:
        usage = f"{argument.option} <value>"
        if argument.shape.type == "boolean":
            usage = f"{argument.option} | --no-{argument.name}"
        page.line(usage if argument.required else f"[{usage}]")
    for option, _, _ in _call_options(is_paged=is_paged):
        page.line(f"[--{option} <value>]")
    _common_synopsis(page)


def _call_options(*, is_paged: bool) -> list[tuple[str, str, str]]:
    return [
        ("cli-input-json", "string", _INPUT_JSON),
        ("cli-input-yaml", "string", _INPUT_YAML),
        *(_PAGE_OPTIONS if is_paged else ()),
        ("generate-cli-skeleton", "string", _SKELETON),
    ]


def _common_synopsis(page: Page) -> None:
    for option in COMMON_OPTIONS:
        page.line(
            f"[--{option.name}]" if option.type == "boolean" else f"[--{option.name} <value>]"
        )
    page.blank()


def _common_options(page: Page) -> None:
    page.section("GLOBAL OPTIONS")
    for option in COMMON_OPTIONS:
        page.option(option.name, option.type, option.help)


def _option(page: Page, argument: Argument) -> None:
    shape = argument.shape
    names = argument.option
    if shape.type == "boolean":
        names += f" | --no-{argument.name}"
    page.line(f"{names} ({shape.type})" + (" [required]" if argument.required else ""))
    page.prose(argument.documentation, 1)
    _inside(page, shape, 1, ())
    if argument.has_shorthand:
        element = shape.element if shape.type == "list" and shape.element else shape
        more = " ..." if shape.type == "list" else ""
        page.sample("Shorthand Syntax:", [_shorthand(element, ()) + more])
    if argument.has_shorthand or shape.type == "list":
        page.sample("JSON Syntax:", list(_json_lines(shape, ())))
    if shape.type == "list" and not argument.has_shorthand and shape.element is not None:
        page.sample("Syntax:", [f'"{shape.element.type}" "{shape.element.type}" ...'])
    if shape.enum:
        page.sample("Possible values:", [f"o {value}" for value in shape.enum])


def _members(page: Page, shape: Shape, depth: int, above: tuple[str, ...]) -> None:
    for name, inner in shape.members.items():
        page.line(f"{name} -> ({inner.type})", depth)
        page.prose(shape.member_documentation[name] or inner.documentation, depth + 1)
        _inside(page, inner, depth + 1, above)


def _inside(page: Page, shape: Shape, depth: int, above: tuple[str, ...]) -> None:
    """Add what a value of `shape` is made of."""
    if shape.name in above or depth > _DEEPEST:
        return
    inside = (*above, shape.name)
    if shape.type == "structure":
        _members(page, shape, depth, inside)
    parts = (("key", shape.key), ("value", shape.value)) if shape.type == "map" else ()
    for name, part in (*parts, ("", shape.element)):
        if part is not None:
            page.line(f"{name} -> ({part.type})" if name else f"({part.type})", depth)
            page.prose(part.documentation, depth + 1)
            _inside(page, part, depth + 1, inside)


def _shorthand(shape: Shape, above: tuple[str, ...]) -> str:
    if shape.name in above:
        return "( ... recursive ... )"
    inside = (*above, shape.name)
    if shape.type == "structure":
        parts = [f"{name}={_shorthand(inner, inside)}" for name, inner in shape.members.items()]
        return f"{{{','.join(parts)}}}" if above else ",".join(parts)
    if shape.type == "map" and shape.value is not None:
        value = _shorthand(shape.value, inside)
        pairs = f"KeyName1={value},KeyName2={value}"
        return f"{{{pairs}}}" if above else pairs
    if shape.type == "list" and shape.element is not None:
        element = _shorthand(shape.element, inside)
        is_bare = len(above) == 1 and not shape.element.members
        return f"{element},{element}" if is_bare else f"[{element},{element}]"
    return shape.type


def _json_lines(shape: Shape, above: tuple[str, ...]) -> Iterator[str]:
    inside = (*above, shape.name)
    if shape.name in above:
        yield "{ ... recursive ... }"
    elif shape.type == "structure":
        yield "{"
        last = len(shape.members) - 1
        for index, (name, inner) in enumerate(shape.members.items()):
            yield from _labelled(name, inner, inside, "" if index == last else ",")
        yield "}"
    elif shape.type == "list" and shape.element is not None:
        yield "["
        yield from (f"  {line}" for line in _json_lines(shape.element, inside))
        yield "  ..."
        yield "]"
    elif shape.type == "map" and shape.value is not None:
        yield "{"
        yield from _labelled("string", shape.value, inside, "")
        yield "  ..."
        yield "}"
    elif shape.enum:
        yield "|".join(f'"{value}"' for value in shape.enum)
    elif shape.type == "boolean":
        yield "true|false"
    else:
        yield f'"{shape.type}"' if shape.type == "string" else shape.type


def _labelled(name: str, shape: Shape, above: tuple[str, ...], end: str) -> Iterator[str]:
    lines = list(_json_lines(shape, above))
    lines[0] = f'"{name}": {lines[0]}'
    lines[-1] += end
    yield from (f"  {line}" for line in lines)
