"""Checks of docker and containerd: would they reach the registry, and log in?"""

from __future__ import annotations

import http
import ipaddress
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ecrate.cli.docker_config import config_path, find_login, helper_of, read_config
from ecrate.cli.doctor.findings import Finding, Situation, ok, skipped
from ecrate.cli.failures import CommandError, ConnectionFailedError
from ecrate.cli.registry_client import RegistryClient

_SECONDS: Final = 15
_CRI_PLUGINS: Final = ("io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri")


def check_docker_login(situation: Situation) -> Iterator[Finding]:
    """See whether docker's configuration has credentials for the registry that are good."""
    host, what = situation.endpoint.authority, "docker login"
    mend = f"ecrate login {host}, or for good: ecrate login --helper {host}"
    try:
        helper = helper_of(read_config(), host)
        login = find_login(host)
        if login is None:
            told = f"{config_path()} has no credentials for {host}"
            yield Finding("note", what, told, mend)
            return
        client = RegistryClient(
            situation.endpoint,
            login,
            situation.registries.connections,
            situation.registries.options,
        )
        answer = client.ask("GET", "/v2/", scopes=frozenset())
    except ConnectionFailedError:
        yield skipped(what, f"{host} cannot be asked whether the credentials are good")
        return
    except CommandError as error:
        told, _, rest = str(error).partition("\n")
        yield Finding("broken", what, told, rest or mend)
        return
    place = f"docker-credential-{helper}" if helper else str(config_path())
    if answer.status == http.HTTPStatus.OK:
        yield ok(what, f"the credentials for {host} of {place} are good")
    else:
        told = f"the credentials for {host} of {place} are refused or have run out"
        yield Finding("broken", what, told, mend)


def check_docker(situation: Situation) -> Iterator[Finding]:
    """See whether docker's daemon runs, and would talk to the registry."""
    what = "docker"
    if shutil.which("docker") is None:
        yield skipped(what, "is not installed")
        return
    info = _docker_info()
    if isinstance(info, str):
        yield Finding(
            "broken",
            what,
            f"its daemon cannot be reached: {info}",
            "start it (systemctl start docker), set DOCKER_HOST, or join the group docker",
        )
        return
    yield ok(what, f"its daemon runs (version {info.get('ServerVersion', 'unknown')})")
    host = situation.endpoint.authority
    if situation.endpoint.scheme == "http":
        if is_insecure(info.get("RegistryConfig") or {}, situation.endpoint.host, host):
            yield ok(what, f"talks to {host} without TLS")
        else:
            yield Finding(
                "broken",
                what,
                f"refuses to talk to {host} without TLS",
                f'add {{"insecure-registries": ["{host}"]}} to {situation.docker}/daemon.json and '
                "restart it, or serve TLS (tls_certificate, tls_key)",
            )
    elif (
        situation.registries.options.ca_bundle
        and not (situation.docker / "certs.d" / host / "ca.crt").exists()
    ):
        yield Finding(
            "note",
            what,
            f"may not trust the certificate of {host}",
            f"copy the authority's to {situation.docker}/certs.d/{host}/ca.crt",
        )


def _docker_info() -> dict[str, Any] | str:
    """Give what the daemon tells of itself, or why it does not."""
    command = ["docker", "info", "--format", "{{json .}}"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
        found = json.loads(done.stdout or "{}")
    except subprocess.TimeoutExpired:
        return f"no answer in {_SECONDS} seconds"
    except (OSError, ValueError) as error:
        return str(error)
    problems = found.get("ServerErrors") or []
    if done.returncode or problems or not found.get("ServerVersion"):
        told = (problems or [done.stderr.strip() or f"exit code {done.returncode}"])[0]
        return str(told).splitlines()[0]
    return dict(found)


def is_insecure(config: dict[str, Any], host: str, authority: str) -> bool:
    """Tell whether docker's daemon does without TLS for a registry.

    Source: dockerd's reference, "Insecure registries": names, and networks of addresses.
    """
    known = (config.get("IndexConfigs") or {}).get(authority)
    if known is not None and not known.get("Secure", True):
        return True
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    networks = config.get("InsecureRegistryCIDRs") or []
    return any(address in ipaddress.ip_network(each, strict=False) for each in networks)


def check_containerd(situation: Situation) -> Iterator[Finding]:
    """See whether containerd, as Kubernetes uses it, would find the registry."""
    what, endpoint = "containerd", situation.endpoint
    if shutil.which("containerd") is None:
        yield skipped(what, "is not installed")
        return
    if endpoint.scheme == "https" or situation.is_loopback:
        yield ok(what, f"needs no configuration for {endpoint.authority}")
        return
    config = situation.containerd / "config.toml"
    try:
        hosts = hosts_folder(config)
    except (OSError, tomllib.TOMLDecodeError) as error:
        yield Finding("broken", what, f"cannot read {config}: {error}", "correct it")
        return
    told = f'server = "{endpoint.url}"\n[host."{endpoint.url}"]\n'
    told += 'capabilities = ["pull", "resolve", "push"]'
    if hosts is None:
        folder = situation.containerd / "certs.d"
        yield Finding(
            "broken",
            what,
            f"{config} has no config_path, so containerd wants TLS of {endpoint.authority}",
            f'set config_path = "{folder}" below [plugins."{_CRI_PLUGINS[1]}".registry], and '
            f"write {folder}/{endpoint.authority}/hosts.toml:\n{told}",
        )
        return
    file = hosts / endpoint.authority / "hosts.toml"
    if _names(file, f"http://{endpoint.authority}"):
        yield ok(what, f"{file} leads to {endpoint.url}")
    else:
        problem = f"{file} does not lead to {endpoint.url}"
        yield Finding("broken", what, problem, f"write there:\n{told}")


def hosts_folder(config: Path) -> Path | None:
    """Give containerd's `config_path`; None where it has none. Raises as reading TOML does."""
    if not config.exists():
        return None
    plugins = tomllib.loads(config.read_text()).get("plugins") or {}
    for plugin in _CRI_PLUGINS:
        found = ((plugins.get(plugin) or {}).get("registry") or {}).get("config_path")
        if found:
            return Path(str(found).partition(":")[0])
    return None


def _names(file: Path, url: str) -> bool:
    try:
        found = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return False
    urls = [found.get("server"), *(found.get("host") or {})]
    return any(str(each).rstrip("/") == url for each in urls)
