"""`ecrate iam`: principals, access keys and policies, in the server's database."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecrate.cli.data_directory import Action, Commands, make_parser, run_action, time_of

if TYPE_CHECKING:
    from ecrate.operations.core import Core

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


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    return run_action(_parser(), arguments, prepare=_read_documents)


def _read_documents(options: argparse.Namespace) -> None:
    for name in ("document", "trust_policy"):
        if name in options:
            setattr(options, name, _document(getattr(options, name)))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("ecrate iam", "Manage who may use the server, and for what.")
    commands = Commands(parser)

    def command(name: str, action: Action, summary: str, *names: str) -> argparse.ArgumentParser:
        event = _EVENTS.get(name, name.title().replace("-", ""))
        made = commands.add(name, action, summary, None if name in _READS else event)
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
    return f"arn:aws:iam::{options.registry.id}:" + (
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

    return _record(identities.create_principal(core, options.registry.id, "user", options.name))


def _create_role(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import identities

    return _record(
        identities.create_principal(
            core, options.registry.id, "role", options.name, options.trust_policy
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
                "created": time_of(created),
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

    arn = identities.create_policy(core, options.registry.id, options.name, options.document)
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
        resource = f"arn:aws:ecr:{options.region}:{options.registry.id}:repository/{resource}"
    decision = identities.simulate(core, _arn(options), options.region, options.operation, resource)
    return {
        "decision": "allowed" if decision.is_allowed else "denied",
        "by": decision.statement or "nothing that applies",
        "reason": decision.reason,
    }
