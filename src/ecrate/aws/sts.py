"""A minimal STS: GetCallerIdentity, GetSessionToken, AssumeRole.

Source: AWS Security Token Service API reference (Query protocol: a form in, XML out). Enough for
SDKs, the AWS command line and Terraform's provider to find out who they are and to take a role.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ecrate.aws.errors import FrontDoorError
from ecrate.domain.principals import Caller
from ecrate.operations import identities
from ecrate.operations.core import Core

_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
# What XML 1.0 has no room for, not even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DAY: Final = 43_200
_HOUR: Final = 3_600

Form = Mapping[str, str]


def answer(core: Core, caller: Caller, body: bytes) -> bytes:
    """Give the XML for a call; raises `FrontDoorError`, and what the operations raise."""
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    action = form.get("Action", "")
    handler = ACTIONS.get(action)
    if handler is None:
        raise FrontDoorError("InvalidAction", f"Could not find operation {action[:64]}")
    result = _xml(handler(core, caller, form))
    return (
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    ).encode()


def error_xml(code: str, message: str, request_id: str) -> bytes:
    """Give an error in the Query protocol's form."""
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>{_text(code)}'
        f"</Code><Message>{_text(message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _xml(value: Mapping[str, object]) -> str:
    parts = []
    for name, item in value.items():
        inner = _xml(item) if isinstance(item, dict) else _text(str(item))
        parts.append(f"<{name}>{inner}</{name}>")
    return "".join(parts)


def _get_caller_identity(_: Core, caller: Caller, __: Form) -> dict[str, object]:
    return {"UserId": caller.access_key_id, "Account": caller.registry.id, "Arn": caller.arn}


def _get_session_token(core: Core, caller: Caller, form: Form) -> dict[str, object]:
    made = identities.get_session_token(core, caller, _seconds(form, _DAY))
    return {"Credentials": _credentials(made)}


def _assume_role(core: Core, caller: Caller, form: Form) -> dict[str, object]:
    for name in ("RoleArn", "RoleSessionName"):
        if not form.get(name):
            raise FrontDoorError("ValidationError", f"'{name}' must not be null")
    name = form["RoleSessionName"]
    if _SESSION_NAME.fullmatch(name) is None:
        raise FrontDoorError(
            "ValidationError", "'RoleSessionName' has 2 to 64 of letters, digits and +=,.@_-"
        )
    made = identities.assume_role(
        core,
        caller,
        form["RoleArn"],
        name,
        policy=form.get("Policy", ""),
        seconds=_seconds(form, _HOUR),
    )
    return {
        "Credentials": _credentials(made),
        "AssumedRoleUser": {"AssumedRoleId": made.assumed_id, "Arn": made.arn},
    }


def _credentials(made: identities.SessionCredentials) -> dict[str, object]:
    expiration = datetime.fromtimestamp(made.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "AccessKeyId": made.key_id,
        "SecretAccessKey": made.secret,
        "SessionToken": made.token,
        "Expiration": expiration,
    }


def _seconds(form: Form, default: int) -> int:
    given = form.get("DurationSeconds", str(default))
    allowed = identities.SESSION_SECONDS
    if not given.isascii() or not given.isdigit() or int(given[:9]) not in allowed:
        raise FrontDoorError(
            "ValidationError",
            f"'DurationSeconds' must be {allowed.start} to {allowed.stop - 1}",
        )
    return int(given)


ACTIONS: Final[dict[str, Callable[[Core, Caller, Form], dict[str, object]]]] = {
    "AssumeRole": _assume_role,
    "GetCallerIdentity": _get_caller_identity,
    "GetSessionToken": _get_session_token,
}
