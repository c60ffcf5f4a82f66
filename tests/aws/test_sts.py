"""The forms of STS: what is refused, and that every answer is XML."""

from __future__ import annotations

from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx
import pytest

from tests.support.door import Account

NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
ROLE = {
    "Action": "AssumeRole",
    "RoleArn": "arn:aws:iam::123456789012:role/deploy",
    "RoleSessionName": "session-1",
}
SESSION_NAME = "'RoleSessionName' has 2 to 64 of letters, digits and +=,.@_-"
DURATION = "'DurationSeconds' must be 900 to 43200"


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Give status, code and message of an error."""
    assert answer.headers["Content-Type"] == "text/xml"
    document = ET.fromstring(answer.content)  # noqa: S314 - what ecrate wrote
    error = document.find(f"{NAMESPACE}Error")
    assert error is not None
    request_id = document.findtext(f"{NAMESPACE}RequestId")
    assert request_id == answer.headers["x-amzn-RequestId"]
    code, message = (error.findtext(f"{NAMESPACE}{name}") for name in ("Code", "Message"))
    return answer.status_code, code or "", message or ""


def test_get_caller_identity_names_the_account(account: Account) -> None:
    answer = account.form(b"Action=GetCallerIdentity&Version=2011-06-15")

    document = ET.fromstring(answer.content)  # noqa: S314 - what ecrate wrote
    assert document.tag == f"{NAMESPACE}GetCallerIdentityResponse"
    result = document.find(f"{NAMESPACE}GetCallerIdentityResult")
    assert result is not None
    assert {one.tag.removeprefix(NAMESPACE): one.text for one in result} == {
        "UserId": account.id,
        "Account": account.id,
        "Arn": f"arn:aws:iam::{account.id}:root",
    }


@pytest.mark.parametrize(
    ("form", "code", "message"),
    [
        pytest.param({}, "InvalidAction", "Could not find operation ", id="no-action"),
        pytest.param(
            {"Action": "GetFederationToken"},
            "InvalidAction",
            "Could not find operation GetFederationToken",
            id="unknown-action",
        ),
        pytest.param(
            {"Action": "<&>\x00\x0b\ufffe"},
            "InvalidAction",
            "Could not find operation <&>\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
            "\N{REPLACEMENT CHARACTER}",
            id="no-xml",
        ),
        pytest.param(
            {"Action": "AssumeRole"}, "ValidationError", "'RoleArn' must not be null", id="no-role"
        ),
        pytest.param(
            ROLE | {"RoleSessionName": ""},
            "ValidationError",
            "'RoleSessionName' must not be null",
            id="no-name",
        ),
        pytest.param(
            ROLE | {"RoleSessionName": "x"}, "ValidationError", SESSION_NAME, id="short-name"
        ),
        pytest.param(
            ROLE | {"RoleSessionName": "x" * 65}, "ValidationError", SESSION_NAME, id="long-name"
        ),
        pytest.param(
            ROLE | {"RoleSessionName": "caf\u00e9"}, "ValidationError", SESSION_NAME, id="no-ascii"
        ),
        *(
            pytest.param(
                ROLE | {"DurationSeconds": text}, "ValidationError", DURATION, id=f"seconds-{text}"
            )
            for text in ("", "899", "43201", "9" * 40, "-900", "9e2", "\u0669\u0660\u0660")
        ),
        pytest.param(
            {"Action": "GetSessionToken", "DurationSeconds": "1"},
            "ValidationError",
            DURATION,
            id="session-seconds",
        ),
        pytest.param(
            ROLE | {"Policy": "policy"},
            "MalformedPolicyDocument",
            "The policy is not well formed: the policy is not JSON",
            id="no-policy",
        ),
        pytest.param(
            ROLE | {"Policy": '{"Statement":{"Effect":"Allow","Action":"\\ud800","Resource":"*"}}'},
            "MalformedPolicyDocument",
            "The policy is not well formed: '\N{REPLACEMENT CHARACTER}' is no action",
            id="half-a-character",
        ),
    ],
)
def test_form_is_refused(account: Account, form: dict[str, str], code: str, message: str) -> None:
    answer = account.form(urlencode(form).encode())

    assert error_of(answer) == (400, code, message)


@pytest.mark.parametrize(
    "body", [pytest.param(b"\xff\xfe", id="no-text"), pytest.param(b"&&=&;", id="no-pairs")]
)
def test_body_that_is_no_form_is_refused(account: Account, body: bytes) -> None:
    answer = account.form(body)

    assert error_of(answer)[:2] == (400, "InvalidAction")
