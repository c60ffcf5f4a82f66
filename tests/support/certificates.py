"""Certificates made by openssl, below an authority of our own."""

from __future__ import annotations

import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.clients import find_program

_CONFIG = """\
[req]
distinguished_name = dn
prompt = no
[dn]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${ENV::SUBJECT_NAMES}
authorityKeyIdentifier = keyid
"""
_NAMES = "DNS:localhost, IP:127.0.0.1"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path

    @property
    def serial(self) -> str:
        """The certificate's serial number, as `ssl` spells it."""
        options = ("-in", str(self.certificate), "-noout", "-serial")
        return _openssl("x509", *options).strip().removeprefix("serial=")

    @property
    def context(self) -> ssl.SSLContext:
        """What a client checks with that trusts this certificate, and what it signed, only."""
        return ssl.create_default_context(cafile=self.certificate)


def make_authority(folder: Path) -> Pair:
    """Make an authority that signs the certificates of servers."""
    folder.mkdir(exist_ok=True)
    (folder / "openssl.cnf").write_text(_CONFIG)
    return _make(folder, "authority", "authority", _NAMES, "-nodes")


def issue(authority: Pair, name: str, *, names: str = _NAMES, password: str = "") -> Pair:
    """Make a server's certificate for these names; the key is encrypted if there is a password."""
    options = ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
    options += ["-passout", f"pass:{password}"] if password else ["-nodes"]
    return _make(authority.certificate.parent, name, "server", names, *options)


def _make(folder: Path, name: str, section: str, names: str, *options: str) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")
    config = ("-config", str(folder / "openssl.cnf"), "-extensions", section)
    files = ("-out", str(pair.certificate), "-keyout", str(pair.key))
    rest = ("-subj", f"/CN={name}", "-days", "2", *options)
    _openssl("req", "-x509", *_NEW_KEY, *config, *files, *rest, names=names)
    return pair


def _openssl(*arguments: str, names: str = _NAMES) -> str:
    done = subprocess.run(
        [find_program("openssl"), *arguments],
        env={**os.environ, "SUBJECT_NAMES": names},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
