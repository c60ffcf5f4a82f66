"""`ecrate doctor`: looks at everything that has to be right, and says how to mend what is not."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from ecrate.cli.options import Parser
from ecrate.cli.registries import Registries, add_registry_options, open_registries
from ecrate.cli.transfer import print_json

if TYPE_CHECKING:
    from ecrate.cli.doctor.findings import Finding, Situation

SUMMARY = "find out what is wrong, and how to mend it"
_USAGE: Final = "ecrate doctor [options]"
_MARKS: Final = {"ok": "ok     ", "note": "note   ", "broken": "BROKEN ", "skipped": "-      "}
_INDENT: Final = " " * 7


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Look at the data directory, disk, clock, port, server, credentials, TLS, and "
        "at docker and containerd, and say how to mend what is wrong. Nothing is changed. The "
        "exit code is 1 where something is broken.",
        example="ecrate doctor --data /srv/ecrate",
    )
    parser.add_argument("--data", metavar="DIR", help="the server's data directory (./data)")
    parser.add_argument("--config", metavar="FILE", help="the server's settings in TOML")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print what was found; the exit code says whether something is broken."""
    given = _parser().parse_args(arguments)
    with open_registries(given) as registries:
        findings = _look(given, registries)
    is_broken = any(each.status == "broken" for each in findings)
    if given.json:
        print_json({"ok": not is_broken, "findings": [asdict(each) for each in findings]})
    else:
        for each in findings:
            print(f"{_MARKS[each.status]}{each.what}: {each.told}")
            if each.mend:
                print("\n".join(f"{_INDENT}{line}" for line in f"-> {each.mend}".splitlines()))
    return 1 if is_broken else 0


def _look(given: Namespace, registries: Registries) -> list[Finding]:
    from ecrate.cli.doctor import clients, machine, server

    situation = _situation(given, registries)
    checks = (
        machine.check_data,
        machine.check_space,
        machine.check_clock,
        machine.check_hash,
        machine.check_limits,
        server.check_server,
        server.check_certificate,
        clients.check_docker_login,
        clients.check_docker,
        clients.check_containerd,
    )
    return [finding for check in checks for finding in check(situation)]


def _situation(given: Namespace, registries: Registries) -> Situation:
    from ecrate.cli.config import load_given
    from ecrate.cli.connections import make_endpoint
    from ecrate.cli.doctor.findings import Situation
    from ecrate.cli.profile import DEFAULT_ENDPOINT
    from ecrate.drivers import Layout

    settings, sources = load_given({"data": given.data, "config": given.config})
    layout = Layout.of(settings)
    address = registries.profile.configured_endpoint()
    if address is None and layout.endpoint.exists():
        # Where a server of this data directory was started last.
        address = layout.endpoint.read_text().strip()
    return Situation(
        settings=settings,
        layout=layout,
        has_data="data" in sources,
        endpoint=make_endpoint(address or DEFAULT_ENDPOINT, registries.options),
        registries=registries,
    )
