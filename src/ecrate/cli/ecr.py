"""`ecrate ecr`: every operation of the API as a command, made from the service model."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any, Final

from ecrate.aws.model import Operation, kebab, service_model
from ecrate.cli.arguments import PAGING_OPTIONS, call_parameters, parse_arguments
from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.options import CommonValues, split_common_options
from ecrate.cli.output import arrange, compile_query, print_answer
from ecrate.cli.paging import Answer, PagedAnswer, Paging, paging_of
from ecrate.cli.profile import Profile

SUMMARY = "call any operation of the ECR API, as `aws ecr` does"
_USAGE: Final = "ecrate ecr [options] OPERATION [parameters]"
_HELP_WORDS: Final = ("help", "--help", "-h")


def run(arguments: list[str]) -> int:
    """Call the operation and print its answer; raises `CommandError`."""
    options, rest = split_common_options(arguments, _USAGE)
    if not rest:
        raise CommandError(
            f"usage: {_USAGE}\n\necrate: an operation is missing; `ecrate ecr help` lists them",
            BAD_COMMAND,
        )
    name, words = rest[0], rest[1:]
    if name in _HELP_WORDS:
        from ecrate.cli.help import service_help, show

        show(service_help())
    elif name == "get-login-password":
        return _get_login_password(options, words)
    elif name == "wait":
        from ecrate.cli.wait import run_wait

        return run_wait(options, words)
    else:
        _run_operation(_find_operation(name), options, words)
    return 0


def usage_of(command: str) -> str:
    """Give the usage line of a command of the service."""
    return f"ecrate ecr {command} [parameters]; `ecrate ecr {command} help` lists them"


def wants_help(words: list[str]) -> bool:
    """Tell whether the words behind a command ask for its help page."""
    return len(words) == 1 and words[0] in _HELP_WORDS


def _find_operation(name: str) -> Operation:
    operations = {each.cli_name: each for each in service_model().operations.values()}
    if name in operations:
        return operations[name]
    from difflib import get_close_matches

    known = [*operations, "get-login-password", "wait", "help"]
    close = get_close_matches(name, known, cutoff=0.6)
    hint = f"; maybe you meant {' or '.join(close)}" if close else ""
    raise CommandError(
        f"usage: {_USAGE}\n\necrate: '{name}' is no operation of ECR{hint}. "
        "`ecrate ecr help` lists them all.",
        BAD_COMMAND,
    )


def _run_operation(operation: Operation, options: CommonValues, words: list[str]) -> None:
    if wants_help(words):
        from ecrate.cli.help import operation_help, show

        show(operation_help(operation))
        return
    paging = paging_of(operation.name)
    usage = usage_of(operation.cli_name)
    found = parse_arguments(operation, words, usage, paged=paging is not None)
    if found.generate_cli_skeleton == "input":
        from ecrate.cli.output import to_json
        from ecrate.cli.skeleton import skeleton

        print(to_json(skeleton(operation.input, with_names=False)))
        return
    query = compile_query(options.query)
    profile = Profile(options)
    with contextlib.ExitStack() as stack:
        answer = _answer(operation, options, profile, found, paging=paging, stack=stack)
        print_answer(answer, operation.name, form=profile.output, query=query, color=options.color)


def _answer(
    operation: Operation,
    options: CommonValues,
    profile: Profile,
    found: argparse.Namespace,
    *,
    paging: Paging | None,
    stack: contextlib.ExitStack,
) -> Answer:
    from ecrate.cli.validation import validate

    parameters = call_parameters(operation, found)
    is_paged = paging is not None and _is_paged(paging, options, found)
    if found.generate_cli_skeleton == "output":
        from ecrate.cli.skeleton import skeleton

        _ = profile.region  # as for a call, it has to be there
        validate(operation.input, parameters)
        return Answer(skeleton(operation.output, with_names=True))
    from ecrate.cli.client import make_client

    client = stack.enter_context(make_client(options, profile))
    validate(operation.input, parameters)

    def call(given: dict[str, Any]) -> dict[str, Any]:
        validate(operation.input, given)
        page: dict[str, Any] = arrange(operation.output, client.call(operation.name, given))
        return page

    if paging is None or not is_paged:
        return Answer(call(parameters))
    return PagedAnswer(
        call,
        paging,
        parameters,
        starting_token=found.starting_token,
        page_size=found.page_size,
        max_items=found.max_items,
    )


def _is_paged(paging: Paging, options: CommonValues, found: argparse.Namespace) -> bool:
    """Tell whether the client goes through the pages; raises `CommandError` for both ways."""
    by_hand = [
        name
        for name in map(kebab, paging.members)
        if getattr(found, name.replace("-", "_")) is not None
    ]
    if options.paginate and not by_hand:
        return True
    used = [f"--{name.replace('_', '-')}" for name in PAGING_OPTIONS if getattr(found, name)]
    if used:
        other = f"--{by_hand[0]}" if by_hand else "--no-paginate"
        raise CommandError(f"Cannot specify {other} along with {', '.join(used)}", BAD_COMMAND)
    return False


def _get_login_password(options: CommonValues, words: list[str]) -> int:
    if wants_help(words):
        from ecrate.cli.help import login_help, show

        show(login_help())
        return 0
    if words:
        raise CommandError(
            f"usage: {usage_of('get-login-password')}\n\nUnknown options: {', '.join(words)}",
            BAD_COMMAND,
        )
    import base64

    from ecrate.cli.client import make_client

    with make_client(options, Profile(options)) as client:
        answer = client.call("GetAuthorizationToken", {})
    token = answer["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    sys.stdout.write(f"{password}\n")
    return 0
