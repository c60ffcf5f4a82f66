"""Docker's `config.json`: who is logged in where, kept there or by a credential helper.

Sources: the reference of `docker login`, "Credential stores" and "Credential helpers"; the
protocol in docker's credential-helpers project.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ecrate.cli.failures import CommandError
from ecrate.cli.logins import read_token
from ecrate.upstream.logins import Login

DOCKER_HUB: Final = "registry-1.docker.io"
NOT_FOUND: Final = "credentials not found in native keychain"
_HUB_KEY: Final = "https://index.docker.io/v1/"
_HELPER_SECONDS: Final = 60
_TOKEN_USER: Final = "<token>"  # noqa: S105 - the user name that marks an identity token


def config_path() -> Path:
    """Give where docker's configuration is."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def read_config() -> dict[str, Any]:
    """Give the configuration, `{}` where there is none; raises `CommandError`."""
    path = config_path()
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CommandError(f"{path} is not docker's configuration")
    return found


def find_login(host: str) -> Login | None:
    """Give the credentials for a registry's host (and port), None where there are none."""
    config = read_config()
    key = _HUB_KEY if host == DOCKER_HUB else host
    helper = helper_of(config, host)
    if helper is not None:
        return _ask_helper(helper, key)
    for name, entry in _table(config, "auths").items():
        if isinstance(entry, dict) and (name == key or _host_of(name) == host):
            return _read_entry(entry)
    return None


def helper_of(config: dict[str, Any], host: str) -> str | None:
    """Give the name of the helper that has a host's credentials; None where the file has them."""
    key = _HUB_KEY if host == DOCKER_HUB else host
    helpers = _table(config, "credHelpers")
    found = helpers.get(host) or helpers.get(key) or config.get("credsStore")
    return found if isinstance(found, str) and found else None


def store_login(host: str, login: Login) -> str:
    """Keep credentials as `docker login` does; give where they are now."""
    helper = helper_of(read_config(), host)
    if helper is not None:
        given = {"ServerURL": host, "Username": login.user, "Secret": login.secret}
        done = _run_helper(helper, "store", json.dumps(given))
        if done.returncode:
            raise CommandError(f"docker-credential-{helper} does not store: {_said(done)}")
        return f"docker-credential-{helper}"

    def add(config: dict[str, Any]) -> None:
        auth = base64.b64encode(f"{login.user}:{login.secret}".encode()).decode()
        config["auths"] = {**_table(config, "auths"), host: {"auth": auth}}

    return str(change_config(add))


def change_config(change: Callable[[dict[str, Any]], None]) -> Path:
    """Let `change` edit the configuration and replace the file at once; only its owner reads it."""
    config = read_config()
    change(config)
    # What a link points to is replaced, not the link.
    path = config_path().resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(config, file, indent="\t")
            file.write("\n")
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _ask_helper(helper: str, key: str) -> Login | None:
    done = _run_helper(helper, "get", key)
    if done.returncode:
        if NOT_FOUND in done.stdout + done.stderr:
            return None
        raise CommandError(f"docker-credential-{helper} fails for {key}: {_said(done)}")
    try:
        found = json.loads(done.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"docker-credential-{helper} gives no credentials for {key}") from None
    return Login("" if user == _TOKEN_USER else user, secret)


def _run_helper(helper: str, action: str, text: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise CommandError(
            f"{config_path()} names docker-credential-{helper}, which is not installed.\n"
            "Install it, or take it out of credsStore and credHelpers there."
        )
    try:
        return subprocess.run(
            [program, action],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HELPER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"docker-credential-{helper} does not answer: {error}") from None


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout.strip() or done.stderr.strip() or f"exit code {done.returncode}")[:300]


def _read_entry(entry: dict[str, Any]) -> Login | None:
    if entry.get("identitytoken"):
        return Login("", str(entry["identitytoken"]))
    if entry.get("auth"):
        return read_token(str(entry["auth"]))
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry.get("password") or ""))
    return None


def _table(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _host_of(name: str) -> str:
    return urlsplit(name).netloc if "://" in name else name.partition("/")[0]
