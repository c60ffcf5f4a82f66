"""Where the calls go and in whose name: options, environment, and the files `aws` keeps.

Understood are the variables and keys named below. Not understood are the ways to get credentials
from somewhere else (SSO, roles, processes, instance metadata): a local registry has none.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecrate.cli.failures import BAD_CONFIGURATION, OTHER_ERROR, CommandError
from ecrate.cli.options import BINARY_FORMATS, FORMS, CommonValues

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:5100"
_FORMS_OF_VERSION_2: Final = ("yaml", "yaml-stream")
_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key."""

    key_id: str
    secret: str
    token: str | None


class Profile:
    """The options over the environment over the files; files are read when first needed."""

    def __init__(self, options: CommonValues) -> None:
        self._options = options
        self._name = (
            options.profile
            or os.environ.get("AWS_PROFILE")
            or os.environ.get("AWS_DEFAULT_PROFILE")
        )
        self._files: tuple[dict[str, str], dict[str, dict[str, str]]] | None = None

    @property
    def region(self) -> str:
        """The region; raises `CommandError` where none is named."""
        found = (
            self._options.region
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
            or self._keys().get("region")
        )
        if not found:
            raise CommandError(
                "You must specify a region: with --region, in AWS_REGION, or with `region` in "
                '~/.aws/config. For a local server, `eval "$(ecrate env)"` sets it.',
                BAD_CONFIGURATION,
            )
        return found

    @property
    def output(self) -> str:
        """The form of the output."""
        return self._options.output or self._choice("output", FORMS, "json", "AWS_DEFAULT_OUTPUT")

    @property
    def timestamp_format(self) -> str:
        """How times are printed: `wire`, as the service sent them, or `iso8601`.

        Where nothing says it, as the version of `aws` does that first had the form of output.
        """
        default = "iso8601" if self.output in _FORMS_OF_VERSION_2 else "wire"
        found = self._choice("cli_timestamp_format", ("none", "wire", "iso8601"), default)
        return "wire" if found == "none" else found

    @property
    def binary_format(self) -> str:
        """How bytes are written in parameters."""
        return self._options.binary_format or self._choice(
            "cli_binary_format", BINARY_FORMATS, "raw-in-base64-out"
        )

    @property
    def pager(self) -> str:
        """The command through which a terminal shows answers; empty for none."""
        if not self._options.pager:
            return ""
        if "AWS_PAGER" in os.environ:
            return os.environ["AWS_PAGER"]
        return self._keys().get("cli_pager", os.environ.get("PAGER", "less"))

    @property
    def ca_bundle(self) -> str | None:
        """The file of certificates to trust, None for the system's."""
        return (
            self._options.ca_bundle
            or os.environ.get("AWS_CA_BUNDLE")
            or self._keys().get("ca_bundle")
            or None
        )

    @property
    def attempts(self) -> int | None:
        """How often a call is tried at most, None where nothing says it."""
        found = os.environ.get("AWS_MAX_ATTEMPTS") or self._keys().get("max_attempts")
        if found and (not found.isdecimal() or int(found) < 1):
            raise CommandError(
                f"'{found}' is no number of attempts, which is 1 or more. It comes from "
                "AWS_MAX_ATTEMPTS or from `max_attempts` in ~/.aws/config.",
                BAD_CONFIGURATION,
            )
        return int(found) if found else None

    def _choice(
        self, key: str, known: tuple[str, ...], default: str, variable: str | None = None
    ) -> str:
        found = os.environ.get(variable or "") or self._keys().get(key) or default
        if found not in known:
            where = f"{variable} or from " if variable else ""
            raise CommandError(
                f"'{found}' is no {key}; known are {', '.join(known)}. It comes from "
                f"{where}`{key}` in ~/.aws/config."
            )
        return found

    @property
    def endpoint(self) -> str:
        """The server's address."""
        return self.configured_endpoint() or DEFAULT_ENDPOINT

    def configured_endpoint(self) -> str | None:
        """Give the address that an option, the environment or a file names."""
        if self._options.endpoint_url is not None:
            return self._options.endpoint_url
        if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
            return None
        for variable in _ENDPOINT_VARIABLES:
            if os.environ.get(variable):
                return os.environ[variable]
        keys = self._keys()
        services = self._services().get(keys.get("services", ""), {})
        return services.get("endpoint_url") or keys.get("endpoint_url")

    def credentials(self) -> Credentials | None:
        """Give the access key; None where requests go unsigned. Raises `CommandError`."""
        if not self._options.sign_request:
            return None
        # A profile named on the command line is meant, whatever the environment says.
        sources = [] if self._options.profile else [_from_environment()]
        for source in [*sources, self._keys()]:
            key_id = source.get("aws_access_key_id")
            secret = source.get("aws_secret_access_key")
            if key_id and secret:
                return Credentials(key_id, secret, source.get("aws_session_token") or None)
            if key_id or secret:
                raise CommandError(
                    "The credentials are incomplete: access key id and secret access key belong "
                    "together (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY).",
                    BAD_CONFIGURATION,
                )
        raise CommandError(
            'Unable to locate credentials. For a local server, run `eval "$(ecrate env)"`; '
            "otherwise set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to "
            "~/.aws/credentials.",
            BAD_CONFIGURATION,
        )

    def _keys(self) -> dict[str, str]:
        return self._read()[0]

    def _services(self) -> dict[str, dict[str, str]]:
        return self._read()[1]

    def _read(self) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        if self._files is None:
            config = _read_file("AWS_CONFIG_FILE", "~/.aws/config")
            shared = _read_file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
            name = self._name or "default"
            section = name if name == "default" else f"profile {name}"
            if self._name and not config.has_section(section) and not shared.has_section(name):
                raise CommandError(
                    f"The config profile ({name}) could not be found in ~/.aws/config or "
                    "~/.aws/credentials.",
                    OTHER_ERROR,
                )
            self._files = (
                _section(config, section) | _section(shared, name),
                _services(config),
            )
        return self._files


def _from_environment() -> dict[str, str]:
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: os.environ.get(name.upper(), "") for name in names}


def _read_file(variable: str, default: str) -> configparser.RawConfigParser:
    path = Path(os.environ.get(variable) or default).expanduser()
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(path.read_text(), str(path))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise CommandError(f"Cannot read {path}: {error}", BAD_CONFIGURATION) from None
    return parser


def _section(parser: configparser.RawConfigParser, name: str) -> dict[str, str]:
    return dict(parser.items(name)) if parser.has_section(name) else {}


def _services(parser: configparser.RawConfigParser) -> dict[str, dict[str, str]]:
    """Give ECR's keys of each `[services NAME]`; they stand indented below `ecr =`."""
    found = {}
    for section in parser.sections():
        if section.startswith("services "):
            lines = _section(parser, section).get("ecr", "").splitlines()
            pairs = (line.partition("=") for line in lines if "=" in line)
            found[section.removeprefix("services ").strip()] = {
                name.strip(): value.strip() for name, _, value in pairs
            }
    return found
