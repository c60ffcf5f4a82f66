"""`ecrate ecr`: every operation of the API as a command, made from the service model."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

from ecrate.aws.model import Operation, kebab, service_model
from ecrate.cli.arguments import (
    PAGING_OPTIONS,
    call_parameters,
    parse_arguments,
    refuse_unknown,
)
from ecrate.cli.failures import BAD_COMMAND, CommandError, ServiceError, nearest
from ecrate.cli.options import COMMON_OPTIONS, CommonValues, split_common_options
from ecrate.cli.output import (
    Query,
    Style,
    arrange,
    compile_query,
    iso8601,
    on_the_wire,
    print_answer,
    to_json,
)
from ecrate.cli.paging import Answer, PagedAnswer, Paging, paging_of
from ecrate.cli.profile import Profile
from ecrate.cli.validation import validate

SUMMARY = "call any operation of the ECR API, as `aws ecr` does"
_USAGE: Final = "ecrate ecr [options] OPERATION [parameters]"
_SEE_HELP: Final = "`ecrate ecr help` lists the operations."
_HELP_WORDS: Final = ("help", "--help", "-h")


def run(arguments: list[str]) -> int:
    """Call the operation and print its answer; raises `CommandError`."""
    options, rest = split_common_options(arguments, _USAGE)
    if not rest:
        raise CommandError("ecrate: an operation is missing", BAD_COMMAND, advice=_SEE_HELP)
    name, words = rest[0], rest[1:]
    if name in _HELP_WORDS:
        from ecrate.cli.help import show, write_service

        show(write_service)
    elif name == "get-login-password":
        return _get_login_password(options, words)
    elif name == "wait":
        from ecrate.cli.wait import run_wait

        return run_wait(options, words)
    else:
        _run_operation(_find_operation(name), options, words)
    return 0


def wants_help(words: list[str]) -> bool:
    """Tell whether the words behind a command ask for its help page."""
    return len(words) == 1 and words[0] in _HELP_WORDS


def _find_operation(name: str) -> Operation:
    operations = {each.cli_name: each for each in service_model().operations.values()}
    if name in operations:
        return operations[name]
    hint = nearest(name, [*operations, "get-login-password", "wait", "help"])
    if name.startswith("-"):
        names = [f"--{option.name}" for option in COMMON_OPTIONS]
        problem = f"'{name}' is no option of all operations{nearest(name, names)}"
    else:
        problem = f"'{name}' is no operation of ECR{hint}"
    raise CommandError(f"ecrate: {problem}", BAD_COMMAND, advice=_SEE_HELP)


def _run_operation(operation: Operation, options: CommonValues, words: list[str]) -> None:
    if wants_help(words):
        from ecrate.cli.help import show, write_operation

        show(lambda page: write_operation(page, operation))
        return
    paging = paging_of(operation.name)
    with advising(operation.cli_name):
        found = parse_arguments(operation, words, paged=paging is not None)
        is_paged = paging is not None and _is_paged(paging, options, found)
        query = compile_query(options.query)
        if found.generate_cli_skeleton is not None:
            print_sample(operation, options, found, query)
            return
        _call(operation, options, found, query, paging=paging if is_paged else None)


def print_sample(
    operation: Operation, options: CommonValues, found: argparse.Namespace, query: Query
) -> None:
    """Print what `--generate-cli-skeleton` asks for; for an output the input is checked first."""
    from ecrate.cli.skeleton import skeleton

    if found.generate_cli_skeleton == "output":
        profile = Profile(options)
        parameters = call_parameters(operation, found, profile.binary_format)
        _ = profile.region  # as for a call, it has to be there
        validate(operation.input, parameters)
        answer = Answer(skeleton(operation.output, with_names=True))
        print_answer(answer, _style(operation, options, profile, query))
        return
    sample = skeleton(operation.input, with_names=False)
    if found.generate_cli_skeleton == "input":
        print(to_json(sample))
        return
    from ecrate.cli.yaml_text import write_input_sample

    write_input_sample(operation.input, sample, sys.stdout)


def _call(
    operation: Operation,
    options: CommonValues,
    found: argparse.Namespace,
    query: Query,
    *,
    paging: Paging | None,
) -> None:
    profile = Profile(options)
    style = _style(operation, options, profile, query)
    parameters = call_parameters(operation, found, profile.binary_format)
    timestamp = iso8601 if profile.timestamp_format == "iso8601" else on_the_wire
    from ecrate.cli.client import make_client

    with make_client(options, profile) as client:
        validate(operation.input, parameters)

        def call(given: dict[str, Any]) -> dict[str, Any]:
            validate(operation.input, given)
            answer = client.call(operation.name, given)
            page: dict[str, Any] = arrange(operation.output, answer, timestamp)
            return page

        if paging is None:
            print_answer(Answer(call(parameters)), style)
            return
        answer = PagedAnswer(
            call,
            paging,
            parameters,
            starting_token=found.starting_token,
            page_size=found.page_size,
            max_items=found.max_items,
        )
        print_answer(answer, style)


def _style(operation: Operation, options: CommonValues, profile: Profile, query: Query) -> Style:
    return Style(profile.output, query, options.color, operation.name, profile.pager)


@contextlib.contextmanager
def advising(command: str) -> Iterator[None]:
    """Let what is wrong with a command's words say where they are explained."""
    try:
        yield
    except CommandError as error:
        is_refused = isinstance(error, ServiceError) and error.code == "InvalidParameterException"
        if (error.exit_code == BAD_COMMAND or is_refused) and not error.advice:
            error.advice = f"`ecrate ecr {command} help` shows what it takes."
        raise


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
        from ecrate.cli.help import show, write_login

        show(write_login)
        return 0
    if words:
        with advising("get-login-password"):
            refuse_unknown(words, [f"--{option.name}" for option in COMMON_OPTIONS])
    import base64

    from ecrate.cli.client import make_client

    with make_client(options, Profile(options)) as client:
        answer = client.call("GetAuthorizationToken", {})
    token = answer["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    sys.stdout.write(f"{password}\n")
    return 0
