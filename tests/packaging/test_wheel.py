"""The wheel, installed into an environment of its own; and what is in the sdist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

from ecrate import __version__
from ecrate.aws.model import service_model
from tests.packaging.conftest import EPOCH, Built
from tools.release.python import build_python

ROOT = Path(__file__).parents[2]
TEST = """
def test_registry(ecrate):
    image = ecrate.push_image("app", "v1")
    (found,) = ecrate.ecr.describe_images(repositoryName="app")["imageDetails"]
    assert found["imageDigest"] == image.digest
"""


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and nothing of this tree.

    What it needs comes from the environment that runs the tests, which has it in the very same
    versions (requirements/run.txt), so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for theirs in Path(sys.prefix, "lib", site.parent.name, "site-packages").iterdir():
        ours = site / theirs.name
        if not ours.exists() and "ecrate" not in theirs.name:
            ours.symlink_to(theirs)
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-index", str(built.wheel)]
    subprocess.run(command, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return folder


def run(environment: Path, *words: str, cwd: Path) -> str:
    done = subprocess.run(
        [environment / "bin" / words[0], *words[1:]],
        cwd=cwd,
        env={"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "program", ["ecrate", "docker-credential-ecrate", "ecrate-credential-provider"]
)
def test_programs_are_installed(environment: Path, tmp_path: Path, program: str) -> None:
    told = run(environment, program, "--version", cwd=tmp_path)

    assert __version__ in told


def test_man_pages_are_where_man_finds_them(environment: Path) -> None:
    names = {path.name for path in (environment / "share/man/man1").iterdir()}

    operations = {f"ecrate-ecr-{one.cli_name}.1" for one in service_model().operations.values()}
    assert operations | {"ecrate.1", "ecrate-serve.1"} <= names


def test_server_serves_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = "import ecrate; print(ecrate.__file__)"
    assert run(environment, "python", "-c", code, cwd=tmp_path).startswith(str(environment))
    command = [f"{environment}/bin/ecrate", "serve", "--port", "0", "--workers", "1"]

    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        endpoint = server.stdout.readline().partition(" listens on ")[2].strip()
        with urllib.request.urlopen(f"{endpoint}/readyz") as answer:  # noqa: S310 - our own server
            assert answer.status == 200
        server.terminate()
        server.stdout.read()

    assert server.returncode == 0


def test_pytest_finds_the_fixtures(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)

    told = run(environment, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)

    assert "1 passed" in told


def test_extras_are_what_is_documented(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        metadata = wheel.read(f"ecrate-{__version__}.dist-info/METADATA").decode()

    extras = {line for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert extras == {f"Provides-Extra: {name}" for name in ("postgres", "s3", "otel")}


def test_sdist_has_what_it_takes_to_test_and_build(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    wanted = ["LICENSE", "Makefile", "man/man1/ecrate.1", "packaging/image/recipe.toml"]
    assert {*wanted, "tests/conftest.py", "requirements/run.txt"} <= names
    assert [name for name in names if "__pycache__" in name] == []


def test_second_build_has_the_same_bytes(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.tree, tmp_path / "elsewhere")
    (tmp_path / "dist").mkdir()

    again = build_python(tmp_path / "elsewhere", tmp_path / "dist", EPOCH)

    assert [path.read_bytes() for path in again] == [
        built.sdist.read_bytes(),
        built.wheel.read_bytes(),
    ]
