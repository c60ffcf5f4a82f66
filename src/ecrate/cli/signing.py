"""`ecrate signing`: the keys that the server signs images with, and what they have signed."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ecrate.cli.data_directory import Commands, add_region, make_parser, run_action, time_of
from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.signers.port import FORMATS, SignerError

if TYPE_CHECKING:
    from ecrate.operations.core import Core

SUMMARY = "make keys that sign images, and sign with them"
_KINDS: Final = ("p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096")
_DAYS: Final = 3650


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    with signer_errors():
        return run_action(_parser(), arguments)


@contextlib.contextmanager
def signer_errors() -> Iterator[None]:
    """Turn what keeps somebody from signing into `CommandError`."""
    try:
        yield
    except SignerError as error:
        raise CommandError(f"ecrate: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate signing",
        "Make keys that sign images, list the signing profiles there are, and sign images that "
        "were pushed before. `ecrate ecr put-signing-configuration` says what is signed on push.",
    )
    add_region(parser)
    command = Commands(parser).add
    made = command(
        "create-key",
        _create_key,
        "make a key, a certificate for it and a profile that signs with it",
        "CreateSigningKey",
    )
    made.add_argument("profile", metavar="PROFILE", help="letters, digits and _")
    made.add_argument("--subject", metavar="NAME", help="whose key it is (CN=PROFILE,O=ecrate)")
    made.add_argument("--kind", choices=_KINDS, default=_KINDS[0], help="of which kind (p256)")
    made.add_argument(
        "--days", type=int, default=_DAYS, metavar="N", help=f"how long it is good ({_DAYS})"
    )
    made.add_argument(
        "--format",
        dest="formats",
        action="append",
        choices=FORMATS,
        help="form of the signatures, may be given again (notary)",
    )
    command("list", _list, "list the profiles")
    made = command("sign", _sign, "sign an image", "SignImage")
    made.add_argument("profile", metavar="PROFILE")
    made.add_argument("image", metavar="REPOSITORY[:TAG|@DIGEST]")
    return parser


def _create_key(core: Core, options: argparse.Namespace) -> object:
    from ecrate.drivers import write_private
    from ecrate.signers.keys import make_key
    from ecrate.signers.profiles import is_profile_name

    assert core.profiles is not None  # noqa: S101 - made of settings
    name, folder = options.profile, core.profiles.folder
    if not is_profile_name(name):
        raise SignerError(f"'{name}' is no name of a signing profile: letters, digits and _")
    if options.days < 1:
        raise CommandError("ecrate: --days has to be at least 1", BAD_COMMAND)
    paths = _Paths(folder, name)
    for path in (paths.profile, paths.certificate, paths.key):
        if path.exists():
            raise SignerError(f"{path} is there already, and nothing that is there is overwritten")
    certificate, key = make_key(
        options.subject or f"CN={name},O=ecrate",
        kind=options.kind,
        days=options.days,
        now=time.time(),
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(paths.key, key.decode())
    write_private(paths.certificate, certificate.decode())
    paths.certificate.chmod(0o644)
    # Last, since it makes the others a profile.
    formats = ", ".join(f'"{one}"' for one in options.formats or FORMATS[:1])
    lines = [
        f'certificates = "{paths.certificate.name}"',
        f'key = "{paths.key.name}"',
        f"formats = [{formats}]",
        f'accounts = ["{options.registry.id}"]',
    ]
    write_private(paths.profile, "\n".join([*lines, ""]))
    return _told(core, name) | {"arn": _arn(options, name)}


class _Paths:
    """The files of a profile."""

    def __init__(self, folder: Path, name: str) -> None:
        self.profile = folder / f"{name}.toml"
        self.certificate = folder / f"{name}.pem"
        self.key = folder / f"{name}-key.pem"


def _arn(options: argparse.Namespace, name: str) -> str:
    registry = options.registry
    return f"arn:aws:signer:{registry.region}:{registry.id}:/signing-profiles/{name}"


def _list(core: Core, _: argparse.Namespace) -> object:
    assert core.profiles is not None  # noqa: S101 - made of settings
    return [_told(core, name) for name in core.profiles.names()]


def _told(core: Core, name: str) -> dict[str, object]:
    """Tell of a profile, or what is wrong with it."""
    assert core.profiles is not None  # noqa: S101 - made of settings
    try:
        profile = core.profiles.find(name)
        chain = profile.open().chain
    except SignerError as error:
        return {"profile": name, "problem": str(error)}
    return {
        "profile": name,
        "subject": chain.name,
        "certificates": str(profile.certificates),
        "thumbprint": chain.thumbprints[0],
        "until": time_of(chain.until),
        "formats": list(profile.formats),
        "accounts": list(profile.accounts or (core.default_registry.id,)),
    }


def _sign(core: Core, options: argparse.Namespace) -> object:
    from ecrate.cli.images import parse_image
    from ecrate.operations.signatures import find_digest, sign_image

    ref, image_id = parse_image(options.registry, options.image)
    found = find_digest(core, ref, image_id)
    signatures = sign_image(core, ref, found, options.profile)
    return {
        "repository": ref.name,
        "digest": found.text,
        "signatures": [one.text for one in signatures],
    }
