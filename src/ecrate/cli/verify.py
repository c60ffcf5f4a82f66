"""`ecrate verify`: who has signed an image, of those who are trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.manifests import Document
from ecrate.cli.options import Parser
from ecrate.cli.plain_text import table_lines
from ecrate.cli.reference import parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.repository import Repository, choose_platform
from ecrate.cli.transfer import print_json
from ecrate.signers.images import (
    MOST,
    SIGNATURE_TYPES,
    Signature,
    Target,
    cosign_tag,
    signatures_in,
)
from ecrate.signers.port import COSIGN, NOTARY, BadSignatureError, SignerError

if TYPE_CHECKING:
    from ecrate.signers.trust import Trust

SUMMARY = "check who has signed an image"
_USAGE: Final = "ecrate verify [HOST/]REPOSITORY[:TAG|@DIGEST] --trust FILE [options]"
_NAMES: Final = {NOTARY: "Notary Project", COSIGN: "cosign"}


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Check the signatures of an image, Notary Project's and cosign's, and tell "
        "whose they are. Trusted is who is named: by a certificate, its own or that of an "
        "authority that vouches for it, or by a public key. The exit code is 1 where nobody who "
        "is trusted has signed the image.",
        example="ecrate verify app:1.0 --trust release.pem",
    )
    parser.add_argument("name", metavar="NAME", help="[HOST/]REPOSITORY[:TAG|@DIGEST]")
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="certificates in PEM, may be given again",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="public key in PEM, may be given again",
    )
    parser.add_argument("--platform", metavar="OS/ARCH", help="take one platform of an index")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_registry_options(parser)
    return parser


@dataclass(frozen=True, slots=True)
class _Found:
    """A signature, where it is, and who it is by or what is wrong with it."""

    digest: str
    form: str
    signer: str | None
    problem: str | None


def run(arguments: list[str]) -> int:
    """Print each signature and who it is by; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    trust = read_trust([*given.trust, *given.key])
    reference = parse_reference(given.name)
    with open_registries(given, is_inspection=True) as registries:
        repository = registries.open(reference)
        document = repository.find(reference.digest or reference.tag or "latest")
        document = choose_platform(repository, document, given.platform)
        found = list(_verify(repository, document, trust))
    is_signed = any(one.signer for one in found)
    if given.json:
        print_json(_told(repository, document, found))
    else:
        rows = [(one.digest, _NAMES[one.form], _sentence(one)) for one in found]
        if rows:
            print("\n".join(table_lines([("SIGNATURE", "KIND", "BY"), *rows])))
    if not is_signed:
        why = "it has no signature"
        if found:
            why = f"none of its {len(found)} signatures is by anybody who is trusted"
        text = f"{repository.text}@{document.digest} is not verified: {why}"
        raise CommandError(text, 1)
    return 0


def read_trust(files: list[Path]) -> Trust:
    """Read whom to trust; raises `CommandError`."""
    if not files:
        raise CommandError(
            "ecrate: whom to trust has to be named: --trust CERTIFICATE or --key KEY",
            BAD_COMMAND,
            advice=f"usage: {_USAGE}",
        )
    from ecrate.signers.trust import Trust

    found = Trust()
    for path in files:
        try:
            one = Trust.parse(path.read_bytes())
        except OSError as error:
            raise CommandError(f"ecrate: cannot read {path}: {error.strerror}") from None
        except SignerError as error:
            raise CommandError(f"ecrate: {path} has {error}") from None
        found = Trust((*found.certificates, *one.certificates), (*found.keys, *one.keys))
    return found


def _verify(repository: Repository, document: Document, trust: Trust) -> Iterator[_Found]:
    from ecrate.signers.checking import check_signature

    target = Target(document.media_type, document.digest, len(document.content))
    for holder in _holders(repository, document.digest):
        for signature in signatures_in(holder.body):
            signer = problem = None
            try:
                content = _read(repository, signature)
                signer = check_signature(signature, content, target, trust, time.time()).signer
            except BadSignatureError as error:
                problem = str(error)
            yield _Found(holder.digest, signature.form, signer, problem)


def _holders(repository: Repository, digest: str) -> Iterator[Document]:
    """Give the images that may hold signatures of this one: referrers, and cosign's tag."""
    seen: set[str] = set()
    for each in repository.referrers(digest):
        if each.get("artifactType") in SIGNATURE_TYPES and len(seen) < MOST:
            seen.add(each["digest"])
            yield repository.find(each["digest"])
    tag = cosign_tag(digest)
    if tag in repository.tags():
        tagged = repository.find(tag)
        if tagged.digest not in seen:
            yield tagged


def _read(repository: Repository, signature: Signature) -> bytes:
    """Give a signature's layer; raises `BadSignatureError` where it is not what it should be."""
    from ecrate.cli.manifests import is_digest, matches_digest

    if not is_digest(signature.digest):
        raise BadSignatureError("its layer has no digest")
    with repository.blob(signature.digest, signature.size).open() as file:
        content = file.read(signature.size + 1)
    if not matches_digest(content, signature.digest):
        raise BadSignatureError("its layer is damaged")
    return content


def _sentence(found: _Found) -> str:
    return found.signer or f"nobody who is trusted: {found.problem}"


def _told(repository: Repository, document: Document, found: list[_Found]) -> dict[str, Any]:
    return {
        "name": repository.text,
        "digest": document.digest,
        "verified": any(one.signer for one in found),
        "signatures": [
            {
                "digest": one.digest,
                "kind": one.form,
                "signer": one.signer,
                "problem": one.problem,
            }
            for one in found
        ],
    }
