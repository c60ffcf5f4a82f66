"""Whom a pull time update exclusion covers."""

from __future__ import annotations

import pytest

from ecrate.domain.registry import covers_principal

ACCOUNT = "arn:aws:iam::111111111111"
SESSION = "arn:aws:sts::111111111111:assumed-role/robot/nightly"


@pytest.mark.parametrize(
    ("excluded", "principal", "covered"),
    [
        pytest.param(f"{ACCOUNT}:user/u", f"{ACCOUNT}:user/u", True, id="same-user"),
        pytest.param(f"{ACCOUNT}:user/u", f"{ACCOUNT}:user/uu", False, id="longer-name"),
        pytest.param(f"{ACCOUNT}:user/u", f"{ACCOUNT}:role/u", False, id="role-of-that-name"),
        pytest.param(f"{ACCOUNT}:role/robot", SESSION, True, id="session"),
        pytest.param(f"{ACCOUNT}:role/a/b/robot", SESSION, True, id="session-of-role-with-path"),
        pytest.param(f"{ACCOUNT}:role/robot/other", SESSION, False, id="path-of-that-name"),
        pytest.param(f"{ACCOUNT}:user/robot", SESSION, False, id="user-of-that-name"),
        pytest.param("arn:aws:iam::222222222222:role/robot", SESSION, False, id="other-account"),
        pytest.param("arn:aws-cn:iam::111111111111:role/robot", SESSION, False, id="partition"),
        pytest.param(f"{ACCOUNT}:role/bot", SESSION, False, id="end-of-the-name"),
    ],
)
def test_covers_principal(excluded: str, principal: str, *, covered: bool) -> None:
    assert covers_principal(excluded, principal) == covered
