"""Whom a pull time update exclusion covers."""

from __future__ import annotations

import pytest

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.registry import ACCOUNT_SETTINGS, check_account_setting, covers_principal

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


@pytest.mark.parametrize("name", sorted(ACCOUNT_SETTINGS))
def test_account_setting_has_its_values_only(name: str) -> None:
    check_account_setting(name)
    check_account_setting(name, min(ACCOUNT_SETTINGS[name]))

    with pytest.raises(InvalidParameter, match="'value' failed to satisfy"):
        check_account_setting(name, "PERHAPS")


def test_account_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'name' failed to satisfy"):
        check_account_setting("NONE")
