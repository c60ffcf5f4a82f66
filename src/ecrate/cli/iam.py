"""`ecrate iam`: principals, access keys and policies, in the server's database.

It works on the database itself, beside a running server or without one; what it changes holds
from the server's next request on, and stands in the audit log if the settings name one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pwd
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecrate.operations.core import Core
    from ecrate.settings import Settings

SUMMARY = "manage users, roles, access keys and policies"

# Events are named as IAM's operations, and so are most commands.
_EVENTS = {
    "activate": "ActivateAccessKey",
    "attach": "AttachPolicy",
    "deactivate": "DeactivateAccessKey",
    "delete": "DeletePrincipal",
    "detach": "DetachPolicy",
    "rotate": "RotateAccessKey",
}
_READS = frozenset({"list", "simulate"})

Action = Callable[["Core", argparse.Namespace], object]


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    options = _parser().parse_args(arguments)
    from ecrate.domain.errors import EcrateError
    from ecrate.settings import SettingError, load_settings
    from ecrate.store.database import UnusableError

    given = {"data": options.data, "database": options.database}
    file = options.config or os.environ.get("ECRATE_CONFIG")
    try:
        settings = load_settings(given, os.environ, Path(file) if file else None)
        options.account = options.account or settings.account_id
        for name in ("document", "trust_policy"):
            if name in options:
                setattr(options, name, _document(getattr(options, name)))
        core = _open(settings)
        try:
            answer = _carry_out(core, options, settings.region)
        finally:
            core.database.close()
    except (EcrateError, SettingError, UnusableError, OSError) as error:
        print(f"ecrate: {error}", file=sys.stderr)
        return 1
    if answer is not None:
        print(json.dumps(answer, indent=4))
    return 0


def _open(settings: Settings) -> Core:
    from ecrate.app import Layout, build_core, open_audit
    from ecrate.operations.tokens import is_own_secret
    from ecrate.settings import SettingError
    from ecrate.store import engines
    from ecrate.store.database import SCHEMA_VERSION

    layout = Layout.of(settings)
    schema = engines.find_schema(layout.database)
    if schema is None or not layout.secret.exists():
        raise SettingError(
            f"there is no data in {layout.data}; start the server once, or name its data "
            "directory with --data"
        )
    if schema[0] < SCHEMA_VERSION or schema[1] > SCHEMA_VERSION:
        raise SettingError(
            f"the data in {engines.shown(layout.database)} is of another version; start this "
            "version's server on it once"
        )
    audit = open_audit(settings, layout, is_server=False)
    core = build_core(settings, layout, audit=audit)
    if not is_own_secret(core):
        core.database.close()
        raise SettingError(f"the secret in {layout.secret} is not that of the database")
    return core


def _carry_out(core: Core, options: argparse.Namespace, region: str) -> object:
    """Do what the command says, and record it if it changes anything."""
    from ecrate.domain.errors import EcrateError
    from ecrate.domain.names import RegistryRef
    from ecrate.operations.audit import Event, record_operator

    if core.audit is None or options.command in _READS:
        return options.action(core, options)
    core.audit.check()
    hidden = {"action", "command", "config", "data", "database", "account"}
    event = Event(
        name=_EVENTS.get(options.command, options.command.title().replace("-", "")),
        registry=RegistryRef(options.account, region),
        parameters={name: value for name, value in vars(options).items() if name not in hidden},
    )
    try:
        answer = options.action(core, options)
    except EcrateError as error:
        event.error_code, event.error_message = f"{type(error).__name__}Exception", str(error)
        record_operator(core, _user(), event)
        raise
    if isinstance(answer, dict):
        event.response = {name: value for name, value in answer.items() if name != "secret"}
    record_operator(core, _user(), event)
    return answer


def _user() -> str:
    """Give the operating system's user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ecrate iam", description="Manage who may use the server, and for what."
    )
    parser.add_argument("--config", metavar="FILE", help="settings in TOML, as the server's")
    parser.add_argument("--data", metavar="DIR", help="data directory (./data)")
    parser.add_argument("--database", metavar="URL", help="database (in the data directory)")
    parser.add_argument("--account", metavar="ID", help="account (the root key's)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action: Action, summary: str, *names: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=summary)
        made.set_defaults(action=action, command=name)
        for one in names:
            made.add_argument(one, metavar=one.lstrip("-").upper().replace("-", "_"))
        return made

    command("create-account", _create_account, "make an account with its root key", "id")
    command("create-user", _create_user, "make a user", "name")
    role = command("create-role", _create_role, "make a role", "name")
    role.add_argument("--trust-policy", required=True, metavar="JSON|file://PATH")
    command("delete", _delete, "take a user or role away, with its keys", "principal")
    command("list", _list, "list principals with their keys and policies")
    command("create-access-key", _create_key, "make an access key", "principal")
    command("activate", _activate, "switch an access key on", "key")
    command("deactivate", _deactivate, "switch an access key off, at once", "key")
    command("delete-access-key", _delete_key, "delete an access key", "key")
    command("rotate", _rotate, "make a new key in place of one that is switched off", "key")
    for name in ("put-user-policy", "put-role-policy"):
        made = command(name, _put_policy, "write an inline policy", "principal", "name")
        made.add_argument("document", metavar="JSON|file://PATH")
        command(
            name.replace("put", "delete"),
            _delete_policy,
            "remove an inline policy",
            "principal",
            "name",
        )
    made = command("create-policy", _create_policy, "write a managed policy", "name")
    made.add_argument("document", metavar="JSON|file://PATH")
    command("attach", _attach, "attach a managed policy", "principal", "policy")
    command("detach", _detach, "detach a managed policy", "principal", "policy")
    made = command("simulate", _simulate, "explain a decision", "principal", "operation")
    made.add_argument("resource", nargs="?", default="*", metavar="REPOSITORY|ARN")
    made.add_argument("--region", default="us-east-1")
    return parser


def _arn(options: argparse.Namespace) -> str:
    """Give the ARN of the principal named: as it is, `root`, `role/NAME`, or a user's name."""
    given: str = options.principal
    if given.startswith("arn:"):
        return given
    kind, _, name = given.rpartition("/")
    return f"arn:aws:iam::{options.account}:" + (
        given if given == "root" else f"{kind or 'user'}/{name}"
    )


def _document(text: str) -> str:
    if text.startswith("file://"):
        return Path(text.removeprefix("file://")).read_text(encoding="utf-8")
    return text


def _record(principal: Any) -> dict[str, object]:
    fields = dataclasses.asdict(principal)
    return {name: fields[name] for name in ("arn", "kind", "name")} | {
        "account": principal.registry_id
    }


def _create_account(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    root = identities.create_principal(core, options.id, "root", "root")
    key = identities.create_access_key(core, root.arn)
    return _record(root) | dataclasses.asdict(key)


def _create_user(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    return _record(identities.create_principal(core, options.account, "user", options.name))


def _create_role(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    return _record(
        identities.create_principal(
            core, options.account, "role", options.name, options.trust_policy
        )
    )


def _delete(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.delete_principal(core, _arn(options))
    return None


def _list(core: Core, _: argparse.Namespace) -> object:
    from ecrate.operations import identities

    found = []
    for principal in identities.list_principals(core):
        inline, attached = identities.list_policies(core, principal.arn)
        keys = [
            {
                "id": key_id,
                "active": is_active,
                "created": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
            }
            for key_id, is_active, created in identities.list_access_keys(core, principal.arn)
        ]
        found.append(_record(principal) | {"keys": keys, "policies": inline, "attached": attached})
    return found


def _create_key(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    return dataclasses.asdict(identities.create_access_key(core, _arn(options)))


def _activate(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.set_access_key(core, options.key, is_active=True)
    return None


def _deactivate(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.set_access_key(core, options.key, is_active=False)
    return None


def _delete_key(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.delete_access_key(core, options.key)
    return None


def _rotate(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    return dataclasses.asdict(identities.rotate_access_key(core, options.key))


def _put_policy(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.put_policy(core, _arn(options), options.name, options.document)
    return None


def _delete_policy(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.delete_policy(core, _arn(options), options.name)
    return None


def _create_policy(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    arn = identities.create_policy(core, options.account, options.name, options.document)
    return {"arn": arn}


def _attach(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.attach_policy(core, _arn(options), options.policy)
    return None


def _detach(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    identities.detach_policy(core, _arn(options), options.policy)
    return None


def _simulate(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    resource = options.resource
    if resource != "*" and not resource.startswith("arn:"):
        resource = f"arn:aws:ecr:{options.region}:{options.account}:repository/{resource}"
    decision = identities.simulate(core, _arn(options), options.region, options.operation, resource)
    return {
        "decision": "allowed" if decision.is_allowed else "denied",
        "by": decision.statement or "nothing that applies",
        "reason": decision.reason,
    }
