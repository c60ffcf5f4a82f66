"""Signing profiles: files that say with which key, and in which form, a name signs.

    FOLDER/<name>.toml          what it is; paths are from the folder on
        certificates = "<name>.pem"         who signs, and who vouches for that, in PEM
        key = "<name>-key.pem"              the key, which only its owner may read, or
        command = ["program", "argument"]   what signs instead (`signers.command`)
        timeout = 10                        seconds that the command may take
        formats = ["notary"]                and "cosign", "cosign-tag"
        accounts = ["123456789012"]         who may use it; without it, the server's own account

They are read when something is to be signed, so that a change holds at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ecrate.signers.port import FORMATS, NOTARY, Signer, SignerError

# AWS: the service model's pattern of a signing profile's ARN.
_NAME: Final = re.compile(r"[a-zA-Z0-9_]{2,}")
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_LARGEST: Final = 64 * 1024
# Who signs has the work for half a minute, and may have to go on to another form.
_LONGEST_TIMEOUT: Final = 25
_TIMEOUT: Final = 10


@dataclass(frozen=True, slots=True)
class Profile:
    """One of them; of `key` and `command` there is one. `timeout` is in seconds."""

    name: str
    certificates: Path
    key: Path | None
    command: tuple[str, ...] | None
    timeout: float
    formats: tuple[str, ...]
    accounts: tuple[str, ...] | None

    def open(self) -> Signer:
        """Give who signs by it; raises `SignerError`."""
        from ecrate.signers.certificates import algorithm_of  # noqa: PLC0415 - see the package
        from ecrate.signers.command import CommandSigner  # noqa: PLC0415 - see the package
        from ecrate.signers.keys import open_key, read_chain  # noqa: PLC0415 - see the package
        from ecrate.signers.port import BadSignatureError  # noqa: PLC0415 - see the package

        try:
            chain = read_chain(self.certificates)
            algorithm_of(chain.key)
        except BadSignatureError as error:
            raise SignerError(f"cannot use {self.certificates}: {error}") from None
        if self.key is not None:
            return open_key(chain, self.key)
        return CommandSigner(chain, self.command or (), seconds=self.timeout)


class Profiles:
    """The profiles of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Give the names of all, in order."""
        found = (path.stem for path in self.folder.glob("*.toml"))
        return sorted(name for name in found if is_profile_name(name))

    def find(self, name: str) -> Profile:
        """Give the profile of a name; raises `SignerError`."""
        if not is_profile_name(name):
            raise SignerError(f"'{name}' is no name of a signing profile: letters, digits and _")
        path = self.folder / f"{name}.toml"
        try:
            with path.open("rb") as file:
                given = tomllib.loads(file.read(_LARGEST).decode())
        except FileNotFoundError:
            raise SignerError(f"there is no signing profile {name} in {self.folder}") from None
        except OSError as error:
            raise SignerError(f"cannot read {path}: {error.strerror}") from None
        except ValueError as error:
            raise SignerError(f"{path} is not TOML: {error}") from None
        try:
            return _profile(name, given, self.folder)
        except ValueError as error:
            raise SignerError(f"{path}: {error}") from None


def is_profile_name(text: str) -> bool:
    """Tell whether it can be the name of a profile."""
    return _NAME.fullmatch(text) is not None


def _profile(name: str, given: dict[str, Any], folder: Path) -> Profile:
    """Read a profile; raises `ValueError`."""
    unknown = given.keys() - {"certificates", "key", "command", "timeout", "formats", "accounts"}
    if unknown:
        raise ValueError(f"'{min(unknown)}' is nothing that a profile has")
    if ("key" in given) == ("command" in given):
        raise ValueError("a profile has a 'key' or a 'command'")
    timeout = given.get("timeout", _TIMEOUT)
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ValueError(f"'timeout' has to be more than 0 and at most {_LONGEST_TIMEOUT} seconds")
    accounts = _texts(given, "accounts", lambda one: _ACCOUNT.fullmatch(one) is not None)
    return Profile(
        name=name,
        certificates=folder / _text(given, "certificates"),
        key=folder / _text(given, "key") if "key" in given else None,
        command=_texts(given, "command", bool),
        timeout=float(timeout),
        formats=_texts(given, "formats", FORMATS.__contains__) or (NOTARY,),
        accounts=accounts,
    )


def _text(given: dict[str, Any], name: str) -> str:
    found = given.get(name)
    if not isinstance(found, str) or not found:
        raise ValueError(f"'{name}' has to name a file")
    return found


def _texts(
    given: dict[str, Any], name: str, is_good: Callable[[str], bool]
) -> tuple[str, ...] | None:
    if name not in given:
        return None
    found = given[name]
    if not isinstance(found, list) or not found:
        raise ValueError(f"'{name}' has to be a list of texts")
    for one in found:
        if not isinstance(one, str) or not is_good(one):
            raise ValueError(f"'{name}' has {one!r}, which it cannot have")
    return tuple(found)
