"""Profiles: keys in files and keys that a program has, and what is said where one is no good."""

from __future__ import annotations

import stat
import sys
import textwrap
from pathlib import Path

import pytest

from ecrate.signers.certificates import is_signed
from ecrate.signers.keys import make_key
from ecrate.signers.port import SignerError
from ecrate.signers.profiles import Profiles
from tests.support.core import START
from tests.support.signers import make_profile

DATA = b"data"


def open_profile(folder: Path, *lines: str) -> None:
    make_profile(folder, "release", *lines)
    signer = Profiles(folder).find("release").open()
    signature = signer.sign(DATA, "ES256")
    assert is_signed(signer.chain.key, "ES256", DATA, signature)


def program(folder: Path, *lines: str) -> str:
    """Write a program, and give the line of a profile that names it."""
    path = folder / "signer.py"
    path.write_text("\n".join(lines))
    return f"command = ['{sys.executable}', '{path}']"


def test_a_key_in_a_file_signs(tmp_path: Path) -> None:
    open_profile(tmp_path)


@pytest.mark.parametrize("form", ["apart", "bytes"])
def test_a_program_signs(tmp_path: Path, form: str) -> None:
    """As openssl and key services answer in DER, tokens with both numbers in a row."""
    lines = f"""\
        import hashlib, os, pathlib, sys
        sys.path[:0] = {[path for path in sys.path if path]!r}
        from ecrate.signers.keys import open_key, read_chain
        from ecrate.signers.certificates import apart
        folder = pathlib.Path({str(tmp_path)!r})
        data = sys.stdin.buffer.read()
        assert hashlib.sha256(data).hexdigest() == os.environ["ECRATE_DIGEST"]
        signer = open_key(read_chain(folder / "release.pem"), folder / "release-key.pem")
        signature = signer.sign(data, os.environ["ECRATE_ALGORITHM"])
        sys.stdout.buffer.write({form}(signature))
        """
    open_profile(tmp_path, program(tmp_path, textwrap.dedent(lines)))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("print('nonsense')", "is no ES256 signature", id="nonsense"),
        pytest.param("import sys; sys.exit('no token')", "failed: no token", id="failed"),
        pytest.param("import sys; sys.exit(1)", "failed: it says nothing", id="silent"),
        pytest.param("while True: print('x' * 1000)", "more than 4096 bytes", id="endless"),
        pytest.param("import time; time.sleep(60)", "took more than 0.5 s", id="slow"),
        pytest.param(
            "import os, time; os.close(1); os.close(2); time.sleep(60)", "failed", id="slow end"
        ),
    ],
)
def test_a_program_that_does_not_sign_is_told_of(tmp_path: Path, line: str, why: str) -> None:
    make_profile(tmp_path, "release", program(tmp_path, line), "timeout = 0.5")
    signer = Profiles(tmp_path).find("release").open()

    with pytest.raises(SignerError, match=why):
        signer.sign(DATA, "ES256")


def test_a_program_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    make_profile(tmp_path, "release", "command = ['/nowhere']")
    signer = Profiles(tmp_path).find("release").open()

    with pytest.raises(SignerError, match="cannot run /nowhere: No such file"):
        signer.sign(DATA, "ES256")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("certificates", "is not TOML", id="not TOML"),
        pytest.param("key = 'a'", "'certificates' has to name a file", id="no certificates"),
        pytest.param("certificates = 'a'", "has a 'key' or a 'command'", id="nothing signs"),
        pytest.param("key = 'a'\ncommand = ['b']", "has a 'key' or a 'command'", id="both sign"),
        pytest.param("key = 'a'\nmore = 1", "'more' is nothing that a profile has", id="more"),
        pytest.param("key = 'a'\ntimeout = 26", "at most 25 seconds", id="long"),
        pytest.param("key = 'a'\ntimeout = true", "at most 25 seconds", id="no number"),
        pytest.param(
            "certificates = 'a'\nkey = 'a'\nformats = ['pgp']", "'formats' has 'pgp'", id="format"
        ),
        pytest.param(
            "certificates = 'a'\nkey = 'a'\nformats = []", "has to be a list", id="no format"
        ),
        pytest.param(
            "certificates = 'a'\nkey = 'a'\naccounts = ['1']", "'accounts' has '1'", id="account"
        ),
        pytest.param("certificates = 'a'\nkey = 'b'", "cannot read .*/a: No such", id="no file"),
    ],
)
def test_a_profile_that_is_no_good_is_told_of(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "release.toml").write_text(text)

    with pytest.raises(SignerError, match=why):
        Profiles(tmp_path).find("release").open()


@pytest.mark.parametrize("name", ["../release", "a", "", "a b", "missing"])
def test_a_name_that_is_no_profile_is_told_of(tmp_path: Path, name: str) -> None:
    with pytest.raises(SignerError, match=r"no name of|there is no signing profile"):
        Profiles(tmp_path).find(name)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make_profile(tmp_path, "release")
    key = tmp_path / "release-key.pem"
    key.chmod(0o640)

    with pytest.raises(SignerError, match=f"others may read the key in {key}: chmod 600"):
        Profiles(tmp_path).find("release").open()
    assert stat.S_IMODE(key.stat().st_mode) == 0o640


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    make_profile(tmp_path, "release")
    _, other = make_key("CN=other", kind="p256", days=1, now=START)
    (tmp_path / "release-key.pem").write_bytes(other)

    with pytest.raises(SignerError, match="is not that of the certificate of CN=release"):
        Profiles(tmp_path).find("release").open()


def test_profiles_are_listed(tmp_path: Path) -> None:
    make_profile(tmp_path, "release")
    make_profile(tmp_path, "again")
    (tmp_path / "not-a-profile.toml").touch()

    assert Profiles(tmp_path).names() == ["again", "release"]


def test_a_name_that_is_none_is_told_of() -> None:
    with pytest.raises(SignerError, match="'nobody' is no name such as CN="):
        make_key("nobody", kind="p256", days=1, now=START)
