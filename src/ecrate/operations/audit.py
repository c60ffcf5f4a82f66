"""The audit log's events: who did what, or was refused it. Their form is CloudTrail's.

Source: CloudTrail User Guide, "CloudTrail record contents"; ECR User Guide, "Amazon ECR log file
entries". Manifests and the bytes of layers are left out. No event holds a secret: those stand only
in the answers of operations that change nothing, and in what `ecrate iam` prints.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ecrate.domain.errors import AuditUnavailable
from ecrate.domain.lifecycle import Verdict
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller, Source
from ecrate.operations.core import Core

_LOG: Final = logging.getLogger("ecrate")
_READS: Final = ("BatchCheck", "BatchGet", "Describe", "Get", "List", "Validate")
_BULK: Final = frozenset({"imageManifest", "layerPartBlob"})
_LEFT_OUT: Final = "(left out)"
_ECR: Final = "ecr.amazonaws.com"
_IAM: Final = "iam.amazonaws.com"
# AWS: CloudTrail's word where a service acts by itself, in place of address and agent too.
_INTERNAL: Final = "AWS Internal"

Members = Mapping[str, object]


@dataclass(slots=True)
class Event:
    """A call; what is known only as it is carried out is filled in then."""

    name: str
    registry: RegistryRef
    request_id: str = ""
    parameters: Members | None = None
    response: Members | None = None
    error_code: str = ""
    error_message: str = ""


def changes_something(operation: str) -> bool:
    """Tell whether an operation is one that the audit log is about."""
    return not operation.startswith(_READS)


def settle_audit(core: Core) -> None:
    """Write what could not be written before; raises `AuditUnavailable`, so that nothing more is
    done of which there might never be a line.
    """
    if core.audit is not None and core.audit.is_behind:
        try:
            core.audit.settle()
        except OSError:
            raise AuditUnavailable from None


def record_call(core: Core, caller: Caller, event: Event) -> None:
    """Write the line of a call that has ended; raises `AuditUnavailable`."""
    resource = _resource(event)
    _append(
        core,
        {
            **_head(core, event, _identity(caller), _ECR, caller.source or Source()),
            **_tail(event.registry, "AwsApiCall", [resource] if resource else []),
        },
    )


def record_operator(core: Core, user: str, event: Event, *, command: str) -> None:
    """Write the line of what a user of the operating system did on the data directory with a
    command, such as `ecrate iam`; raises `AuditUnavailable`.
    """
    identity = {"type": "Operator", "userName": user}
    source = _IAM if command == "ecrate iam" else _ECR
    _append(
        core,
        {
            **_head(core, event, identity, source, Source(_INTERNAL, command)),
            **_tail(event.registry, "AwsApiCall", []),
        },
    )


def record_lifecycle(
    core: Core, ref: RepositoryRef, policy: str, verdicts: Sequence[Verdict]
) -> None:
    """Write the line of what a lifecycle policy did to images; raises `AuditUnavailable`."""
    event = Event("PolicyExecutionEvent", ref.registry)
    identity = {"accountId": ref.registry.id, "invokedBy": _INTERNAL}
    resource = {
        "ARN": ref.arn,
        "accountId": ref.registry.id,
        "type": "AWS::ECR::Repository",
    }
    _append(
        core,
        {
            **_head(core, event, identity, _ECR, Source(_INTERNAL, _INTERNAL)),
            **_tail(ref.registry, "AwsServiceEvent", [resource]),
            "serviceEventDetails": {
                "repositoryName": ref.name,
                "lifecycleEventPolicy": {"lifecycleEventRules": json.loads(policy)["rules"]},
                "lifecycleEventImageActions": [_image_action(verdict) for verdict in verdicts],
            },
        },
    )


def record_gate(
    core: Core, caller: Caller, ref: RepositoryRef, digest: Digest, reason: str, *, mode: str
) -> None:
    """Write the line of a pull that a repository's gate refuses, or in a dry run would; raises
    `AuditUnavailable`.
    """
    event = Event("PullGateEvent", ref.registry)
    resource = {
        "ARN": ref.arn,
        "accountId": ref.registry.id,
        "type": "AWS::ECR::Repository",
    }
    _append(
        core,
        {
            **_head(core, event, _identity(caller), _ECR, caller.source or Source()),
            **_tail(ref.registry, "AwsServiceEvent", [resource]),
            "serviceEventDetails": {
                "repositoryName": ref.name,
                "imageDigest": digest.text,
                "mode": mode,
                "reason": reason,
            },
        },
    )


def _head(
    core: Core, event: Event, identity: Members, source: str, origin: Source
) -> dict[str, object]:
    moment = datetime.fromtimestamp(core.clock(), UTC)
    head: dict[str, object] = {
        "eventVersion": "1.08",
        "userIdentity": identity,
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": source,
        "eventName": event.name,
        "awsRegion": event.registry.region,
        "sourceIPAddress": origin.address,
        "userAgent": origin.user_agent,
    }
    if event.error_code:
        head |= {"errorCode": event.error_code, "errorMessage": event.error_message}
    head |= {"requestParameters": event.parameters, "responseElements": event.response}
    if event.request_id:
        head["requestID"] = event.request_id
    return head


def _tail(registry: RegistryRef, kind: str, resources: Sequence[Members]) -> dict[str, object]:
    return {
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "resources": resources,
        "eventType": kind,
        "managementEvent": True,
        "recipientAccountId": registry.id,
        "eventCategory": "Management",
    }


def _identity(caller: Caller) -> dict[str, object]:
    account = caller.registry.id
    if caller.is_anonymous:
        return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}
    identity: dict[str, object] = {
        "type": "Root" if caller.is_root else "IAMUser",
        "principalId": account if caller.is_root else f"AIDA{caller.principal_id:016d}",
        "arn": caller.arn,
        "accountId": account,
        "accessKeyId": caller.access_key_id,
    }
    name = caller.arn.rpartition("/")[2]
    if caller.role_arn:
        identity |= {
            "type": "AssumedRole",
            "principalId": f"AROA{caller.principal_id:016d}:{name}",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "arn": caller.role_arn,
                    "accountId": account,
                    "userName": caller.role_arn.rpartition("/")[2],
                }
            },
        }
    elif not caller.is_root:
        identity["userName"] = name
    return identity


def _resource(event: Event) -> dict[str, object] | None:
    given = event.parameters or {}
    name, arn = given.get("repositoryName"), given.get("resourceArn")
    if isinstance(name, str):
        arn = RepositoryRef(event.registry, name).arn
    return None if arn is None else {"ARN": arn, "accountId": event.registry.id}


def _image_action(verdict: Verdict) -> dict[str, object]:
    image = verdict.image
    return {
        "lifecycleEventImage": {
            "digest": image.digest.text,
            "tagStatus": "Tagged" if image.tags else "Untagged",
            "tagList": image.tags,
            "pushedAt": round(image.pushed_at * 1000),
        },
        "rulePriority": verdict.rule_priority,
        "actionType": verdict.action.upper(),
    }


def _append(core: Core, event: Members) -> None:
    if core.audit is None:
        return
    # ASCII, so that no reader takes a character for the end of the line.
    line = json.dumps(_plain(event), separators=(",", ":")).encode()
    try:
        core.audit.append(line)
    except OSError as error:
        _LOG.error("cannot write the audit log: %s; it lacks %s", error, line.decode())
        raise AuditUnavailable from None


def _plain(value: object, name: str = "") -> object:
    """Give what JSON has for a value, without what is too long and without half characters."""
    if name in _BULK:
        return _LEFT_OUT
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {key: _plain(one, key) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
