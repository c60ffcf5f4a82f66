"""The settings: defaults, then a TOML file, then the environment, then the command line.

Each is a field of `Settings`; its name in TOML is the field's, in the environment
`ECRATE_<NAME>` in capitals, on the command line `--<name>` with dashes. A bad one stops the
start with one line that names it, where it came from, and what is accepted.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ecrate.domain.rates import RATES, parse_rates
from ecrate.upstream.addresses import parse_networks
from ecrate.upstream.choice import parse_hosts, parse_realms


class SettingError(Exception):
    """One line for the operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server; `docs/reference/settings.md` says what each is for.

    Periods are seconds. `workers` 0 means one a core.
    """

    host: str = "127.0.0.1"
    port: int = 5100
    data: Path = Path("data")
    workers: int = 0
    database: str = ""
    database_connections: int = 8
    blobs: str = ""
    blob_redirects: bool = True
    s3_access_key_id: str = ""
    s3_secret_access_key: str = ""
    dev: bool = False
    seed: str = ""
    dev_anywhere: bool = False
    account_id: str = "000000000000"
    region: str = "us-east-1"
    registry_host: str = ""
    public_url: str = ""
    trusted_proxies: str = ""
    secret_file: str = ""
    new_secret: bool = False
    signing_profiles: str = ""
    console: bool = True
    console_session: float = 12 * 3600.0
    parity: str = ""
    sparse_manifests: bool = False
    anonymous_pull: bool = False
    repositories_per_registry: int = 100_000
    images_per_repository: int = 100_000
    rate_limits: str = ""
    audit_log: str = ""
    audit_log_size: int = 100 * 1024 * 1024
    audit_log_kept: int = 10
    log_format: str = "console"
    log_requests: bool = False
    traces: str = ""
    metrics: str = "loopback"
    metrics_repositories: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    shutdown_grace: float = 30.0
    upload_idle: float = 24 * 3600.0
    layer_grace: float = 24 * 3600.0
    quarantine: float = 3600.0
    trash_kept: float = 7 * 24 * 3600.0
    activation_seconds: float = 1.0
    collect_every: float = 5.0
    lifecycle_every: float = 3600.0
    upstream_hosts: str = ""
    upstream_networks: str = ""
    upstream_realms: str = ""
    upstream_secrets: str = ""
    upstream_ca_bundle: str = ""
    upstream_recheck: float = 24 * 3600.0
    upstream_timeout: float = 30.0
    upstream_imports_all: bool = True
    scan_every: float = 1.0
    scan_size: int = 32 * 1024 * 1024 * 1024
    scan_command: str = ""
    scan_sboms: bool = True
    events_every: float = 1.0
    events_kept: float = 7 * 24 * 3600.0
    event_streams: int = 500
    webhook_attempts: int = 16
    webhook_timeout: float = 10.0
    webhook_networks: str = ""
    webhook_ca_bundle: str = ""
    replication_destinations: str = ""
    replication_timeout: float = 60.0
    replication_patience: float = 24 * 3600.0
    replication_ca_bundle: str = ""


_PASSWORD: Final = re.compile(r"(://[^/@\s:]*:)[^@\s]*@")
_LOOPBACK: Final = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost")


def load_settings(
    command_line: Mapping[str, Any], environment: Mapping[str, str], file: Path | None
) -> Settings:
    """Put the layers together; raises `SettingError`."""
    settings, _ = trace_settings(command_line, environment, file)
    return settings


def trace_settings(
    command_line: Mapping[str, Any], environment: Mapping[str, str], file: Path | None
) -> tuple[Settings, dict[str, str]]:
    """Do the same, and say of each setting that is set where it came from."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, value, source in _given(command_line, environment, file):
        if name not in _KINDS:
            raise SettingError(
                f"unknown setting '{name}' in {source}; known are {', '.join(sorted(_KINDS))}"
            )
        values[name] = _converted(name, value, source)
        sources[name] = source
    settings = Settings(**values)
    for name, (is_good, accepted) in _RULES.items():
        value = getattr(settings, name)
        if not is_good(value):
            told = _PASSWORD.sub(r"\1***@", str(value))
            raise SettingError(
                f"setting '{name}' is '{told}' in {sources.get(name, 'the defaults')}; "
                f"accepted: {accepted}"
            )
    if settings.dev and not settings.dev_anywhere and not _LOOPBACK.fullmatch(settings.host):
        raise SettingError(
            f"setting 'dev' accepts any access key, so host '{settings.host}' beyond loopback "
            "needs 'dev_anywhere' as well"
        )
    if settings.seed and not settings.dev:
        raise SettingError(
            f"setting 'seed' is '{settings.seed}' in {sources['seed']}; it is for development "
            "mode: 'dev' is needed as well"
        )
    return settings, sources


def with_sources(message: str, sources: Mapping[str, str]) -> str:
    """Give what is to be told of settings, and where those that it names came from."""
    named = re.findall(r"'(\w+)'", message)
    told = [name for name in dict.fromkeys(named) if sources.get(name, message) not in message]
    return message + "".join(f"; '{name}' is set in {sources[name]}" for name in told)


def _given(
    command_line: Mapping[str, Any], environment: Mapping[str, str], file: Path | None
) -> Iterator[tuple[str, Any, str]]:
    """Give name, value and source of all that is set, what counts more behind what counts less."""
    if file is not None:
        for name, value in _read_file(file).items():
            yield name, value, str(file)
    for variable, text in environment.items():
        if variable.startswith("ECRATE_") and variable != "ECRATE_CONFIG":
            name = variable.removeprefix("ECRATE_").lower()
            yield name, text, f"the environment ({variable})"
    for name, value in command_line.items():
        if value is not None:
            yield name, value, f"the command line (--{name.replace('_', '-')})"


def _read_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise SettingError(f"cannot read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not TOML: {error}") from None


_KINDS: Final[dict[str, type[Any]]] = {
    field.name: Path if field.name == "data" else type(field.default)
    for field in dataclasses.fields(Settings)
}
_WORDS: Final[dict[type[Any], str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number of seconds",
    str: "a text",
    Path: "a path",
}
_TAKEN: Final[dict[type[Any], tuple[type[Any], ...]]] = {
    int: (int, str),
    float: (int, float, str),
    str: (str,),
}
_LONGEST: Final = 1_000_000_000
_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _converted(name: str, value: Any, source: str) -> Any:
    kind = _KINDS[name]
    try:
        if kind is bool:
            return value if isinstance(value, bool) else _TRUTH[str(value).lower()]
        if kind is Path:
            return Path(value).expanduser()
        if not isinstance(value, _TAKEN[kind]) or isinstance(value, bool):
            raise TypeError  # noqa: TRY301 - told below with all others
        return kind(value)
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError):
        raise SettingError(
            f"setting '{name}' is '{value}' in {source}; accepted: {_WORDS[kind]}"
        ) from None


def _url(text: str) -> bool:
    return not text or re.fullmatch(r"https?://[^/\s?#]+/?", text) is not None


def _template(text: str) -> bool:
    try:
        host = text.format(account="0", region="r")
        return re.fullmatch(r"[a-zA-Z0-9_.:-]*", host) is not None
    except (KeyError, IndexError, ValueError, AttributeError):
        return False


def _readable(parse: Callable[[str], object]) -> Callable[[Any], bool]:
    def is_good(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return is_good


def _command(text: str) -> bool:
    try:
        return not text or any("{layout}" in word for word in shlex.split(text))
    except ValueError:
        return False


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def _seconds(least: float) -> tuple[Callable[[Any], bool], str]:
    return lambda number: least <= number <= _LONGEST, f"{least} to {_LONGEST} seconds"


_COUNT: Final = (lambda count: 1 <= count <= _LONGEST, f"1 to {_LONGEST}")
_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "port": (lambda port: 0 <= port < 2**16, "0 to 65535"),
    "workers": (lambda workers: 0 <= workers <= 256, "0 (one a core) to 256"),  # noqa: PLR2004
    "account_id": (_matches(r"[0-9]{12}"), "12 digits"),
    "region": (_matches(r"[a-z0-9-]{2,25}"), "2 to 25 of a-z, 0-9 and -"),
    "registry_host": (_template, "a host name, with {account} and {region} where they differ"),
    "public_url": (_url, "http://HOST[:PORT] or https://HOST[:PORT]"),
    "trusted_proxies": (_readable(parse_networks), "networks with commas between: 10.0.0.0/8"),
    "parity": (_matches(r"|ecr"), "'ecr', or nothing"),
    "database": (
        _matches(r"|sqlite:///.+|postgresql://\S+"),
        "sqlite:///PATH or postgresql://USER@HOST/NAME",
    ),
    "database_connections": (lambda count: 1 <= count <= 100, "1 to 100"),  # noqa: PLR2004
    "blobs": (_matches(r"|file:///.+|s3://.+"), "file:///PATH or s3://BUCKET[/PREFIX][?...]"),
    "repositories_per_registry": _COUNT,
    "images_per_repository": _COUNT,
    "rate_limits": (
        _readable(parse_rates),
        f"ecr, off, or OPERATION=RATE,... of {', '.join(RATES)}",
    ),
    "audit_log_size": (lambda size: 1000 <= size <= 10**12, "1000 to 10^12 bytes"),  # noqa: PLR2004
    "audit_log_kept": (lambda count: 1 <= count <= 1000, "1 to 1000 files"),  # noqa: PLR2004
    "log_format": (_matches(r"console|json"), "console or json"),
    "traces": (
        _matches(r"|https?://[^/\s?#]+(/[^\s?#]*)?"),
        "http://HOST[:PORT][/PATH] of an OTLP receiver",
    ),
    "metrics": (_matches(r"loopback|anyone|off"), "loopback, anyone or off"),
    "console_session": _seconds(60),
    "shutdown_grace": _seconds(0),
    "upload_idle": _seconds(1),
    "layer_grace": _seconds(1),
    "quarantine": _seconds(0),
    "trash_kept": _seconds(0),
    "activation_seconds": _seconds(0),
    "collect_every": _seconds(0.1),
    "lifecycle_every": _seconds(0.1),
    "upstream_hosts": (_readable(parse_hosts), "hosts with commas between: HOST[:PORT], *.DOMAIN"),
    "upstream_networks": (_readable(parse_networks), "networks with commas between: 10.0.0.0/8"),
    "upstream_realms": (_readable(parse_realms), "REGISTRY=HOST with commas between"),
    "upstream_secrets": (
        _matches(r"|file:///.+|env:[A-Z][A-Z0-9_]*"),
        "file:///PATH or env:PREFIX",
    ),
    "upstream_recheck": _seconds(0),
    "upstream_timeout": _seconds(0.1),
    "scan_every": _seconds(0.1),
    "scan_size": (lambda size: 1 <= size <= 10**14, "1 to 10^14 bytes"),
    "scan_command": (_command, "a command with {layout} in it, or nothing"),
    "events_every": _seconds(0.1),
    "events_kept": _seconds(1),
    "event_streams": (lambda count: 0 <= count <= 100_000, "0 to 100000"),  # noqa: PLR2004
    "webhook_attempts": (lambda count: 1 <= count <= 100, "1 to 100"),  # noqa: PLR2004
    "webhook_timeout": _seconds(0.1),
    "replication_timeout": _seconds(0.1),
    "replication_patience": _seconds(0),
    "webhook_networks": (_readable(parse_networks), "networks with commas between: 10.0.0.0/8"),
}
