"""What `ecrate ecr` prints is, byte for byte, what `aws ecr` prints.

Version 1 of the AWS command line stands for json, text and tables, version 2 for YAML and exit
codes. Where ecrate differs on purpose stands in docs/reference/aws-command-line.md, line by line.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ecrate.aws.model import Operation, service_model
from ecrate.cli.paging import paging_of
from tests.cli.command_lines import BAD, FILES, GOOD, YAML
from tests.cli.conftest import Run
from tests.cli.sample_service import SampleService
from tests.support.aws_cli import AwsCli, Ran, aws_version_1, aws_version_2
from tests.support.images import make_image
from tests.support.samples import line_of
from tests.support.server import Server, run_command, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

# The library of --query warns of a syntax that both programs take.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated string literal syntax")

_FORMS = ("json", "text", "table")
_OPERATIONS = list(service_model().operations.values())
_SKELETONS = [
    f"{line_of(operation, 'required')} --generate-cli-skeleton {kind}"
    for operation in _OPERATIONS
    for kind in ("input", "output")
]
_IN_YAML = [
    f"{line_of(operation, 'required')} --output {form}"
    for operation in _OPERATIONS
    for form in ("yaml", "yaml-stream")
    if form == "yaml" or paging_of(operation.name) is not None
]
_DIFFERENCES = Path(__file__).parents[2] / "docs/reference/aws-command-line.md"
_ROW = re.compile(r"^\| (1|2|1, 2) \| `` ?(.+?) ?`` \|", re.MULTILINE)


def _differences(version: str) -> list[str]:
    """Give the lines that the documentation says are treated otherwise than by a version."""
    rows = _ROW.findall(_DIFFERENCES.read_text(encoding="utf-8"))
    return [line for versions, line in rows if version in versions]


def _without_differences(lines: list[str], version: str) -> list[str]:
    known = _differences(version)
    return [line for line in lines if line not in known]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """The folder that all command lines run in."""
    with tempfile.TemporaryDirectory() as made:
        for name, content in FILES.items():
            Path(made, name).write_bytes(content)
        yield Path(made)


@pytest.fixture(scope="session")
def filled() -> Iterator[Server]:
    """A server with two repositories, the first with three images, one of them without a tag.

    Both programs list and print all there is, so nothing of other tests is to be there.
    """
    with tempfile.TemporaryDirectory() as made, running_server(Path(made) / "data") as server:
        _fill(server.ecr())
        yield server


def _fill(ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="eq/one", tags=[{"Key": "team", "Value": "größe"}])
    ecr.create_repository(repositoryName="eq/two", imageTagMutability="IMMUTABLE")
    for tags in (["1", "latest"], ["2"], []):
        image = make_image(100, 200)
        for blob in image.blobs:
            upload = ecr.initiate_layer_upload(repositoryName="eq/one")["uploadId"]
            ecr.upload_layer_part(
                repositoryName="eq/one",
                uploadId=upload,
                partFirstByte=0,
                partLastByte=len(blob.content) - 1,
                layerPartBlob=blob.content,
            )
            ecr.complete_layer_upload(
                repositoryName="eq/one", uploadId=upload, layerDigests=[blob.digest]
            )
        # By digest only, and again under each tag.
        ecr.put_image(repositoryName="eq/one", imageManifest=image.manifest)
        for tag in tags:
            ecr.put_image(repositoryName="eq/one", imageManifest=image.manifest, imageTag=tag)


@pytest.fixture(scope="session")
def samples() -> Iterator[SampleService]:
    """A service that answers all operations."""
    with SampleService() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def version_1(filled: Server, folder: Path) -> Iterator[AwsCli]:
    """`aws` of version 1, with the server's variables."""
    with aws_version_1(filled.env, folder) as cli:
        yield cli


@pytest.fixture(scope="session")
def version_2(filled: Server, folder: Path) -> Iterator[AwsCli]:
    """`aws` of version 2."""
    with aws_version_2(filled.env, folder) as cli:
        yield cli


@dataclass(frozen=True)
class Pair:
    """What both say to one line."""

    ours: Ran
    theirs: Ran

    @property
    def outputs_are_equal(self) -> bool:
        return self.ours.out == self.theirs.out

    @property
    def both_succeed_or_fail(self) -> bool:
        return (self.ours.code == 0) == (self.theirs.code == 0)


Compare = Callable[..., Pair]


@pytest.fixture
def compare(
    plain_run: Run,
    folder: Path,
    filled: Server,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Compare:
    """Run a line behind `ecr` with both programs; the summary of the test run counts it."""
    monkeypatch.chdir(folder)
    for name, value in filled.env.items():
        monkeypatch.setenv(name, value)

    def compare(aws: AwsCli, line: str, endpoint: str = filled.endpoint) -> Pair:
        words = shlex.split(line)
        # Releases before 2.13 know no variable for the address.
        address = [] if "--endpoint-url" in words else ["--endpoint-url", endpoint]
        record_property("compared command line", line)
        return Pair(plain_run("ecr", *words, *address), aws("ecr", *words, *address))

    return compare


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("line", GOOD)
def test_good_lines_print_what_version_1_prints(
    compare: Compare, version_1: AwsCli, line: str, form: str
) -> None:
    pair = compare(version_1, f"{line} --output {form}")

    assert pair.ours.out == pair.theirs.out
    assert pair.both_succeed_or_fail


@pytest.mark.parametrize("line", _without_differences(BAD, "1"))
def test_bad_lines_fail_as_with_version_1(compare: Compare, version_1: AwsCli, line: str) -> None:
    pair = compare(version_1, line)

    assert pair.ours.out == pair.theirs.out
    assert pair.both_succeed_or_fail


@pytest.mark.parametrize("line", _without_differences(BAD, "2"))
def test_bad_lines_have_the_exit_code_of_version_2(
    compare: Compare, version_2: AwsCli, line: str
) -> None:
    pair = compare(version_2, line)

    assert pair.ours.out == pair.theirs.out
    assert pair.ours.code == pair.theirs.code
    assert 1 <= len(pair.ours.err.splitlines()) <= 2


@pytest.mark.parametrize("form", ["yaml", "yaml-stream"])
@pytest.mark.parametrize("line", YAML)
def test_yaml_is_what_version_2_prints(
    compare: Compare, version_2: AwsCli, line: str, form: str
) -> None:
    pair = compare(version_2, f"{line} --output {form}")

    assert pair.ours.out == pair.theirs.out
    assert pair.ours.code == pair.theirs.code


@pytest.mark.parametrize(
    ("kind", "form"), [("shorthand", "json"), ("json", "text"), ("input", "table")]
)
@pytest.mark.parametrize("operation", _OPERATIONS, ids=lambda each: each.cli_name)
def test_every_operation_asks_and_prints_the_same(
    compare: Compare,
    version_1: AwsCli,
    samples: SampleService,
    *,
    operation: Operation,
    kind: str,
    form: str,
) -> None:
    samples.take_asked()

    pair = compare(version_1, f"{line_of(operation, kind)} --output {form}", samples.endpoint)

    asked = samples.take_asked()
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :] != []
    assert pair.ours.out == pair.theirs.out
    assert pair.both_succeed_or_fail


@pytest.mark.parametrize("line", _IN_YAML)
def test_every_answer_is_yaml_as_version_2_prints_it(
    compare: Compare, version_2: AwsCli, samples: SampleService, line: str
) -> None:
    pair = compare(version_2, line, samples.endpoint)

    assert pair.ours.out == pair.theirs.out
    assert (pair.ours.code, pair.theirs.code) == (0, 0)


@pytest.mark.parametrize("line", _without_differences(_SKELETONS, "1"))
def test_every_skeleton_is_that_of_version_1(
    compare: Compare, version_1: AwsCli, line: str
) -> None:
    pair = compare(version_1, line)

    assert pair.ours.out == pair.theirs.out
    assert (pair.ours.code, pair.theirs.code) == (0, 0)


@pytest.mark.parametrize("operation", _OPERATIONS, ids=lambda each: each.cli_name)
def test_every_skeleton_in_yaml_is_that_of_version_2(
    compare: Compare, version_2: AwsCli, operation: Operation
) -> None:
    pair = compare(version_2, f"{operation.cli_name} --generate-cli-skeleton yaml-input")

    assert pair.ours.out == pair.theirs.out
    assert (pair.ours.code, pair.theirs.code) == (0, 0)


def test_a_token_of_aws_goes_on_where_it_stopped(compare: Compare, version_1: AwsCli) -> None:
    line = "list-images --repository-name eq/one --output text"
    token = compare(version_1, f"{line} --max-items 1").theirs.out.split()[-1]

    pair = compare(version_1, f"{line} --starting-token {token}")

    assert pair.ours.out == pair.theirs.out != ""


@pytest.mark.parametrize("line", _differences("1"))
def test_a_documented_difference_to_version_1_is_there(
    compare: Compare, version_1: AwsCli, line: str
) -> None:
    pair = compare(version_1, line)

    assert not (pair.outputs_are_equal and pair.both_succeed_or_fail)


@pytest.mark.parametrize("line", _differences("2"))
def test_a_documented_difference_to_version_2_is_there(
    compare: Compare, version_2: AwsCli, line: str
) -> None:
    pair = compare(version_2, line)

    assert not (pair.outputs_are_equal and pair.ours.code == pair.theirs.code)


@pytest.mark.parametrize(
    ("version", "env"),
    [
        pytest.param(1, {"AWS_DEFAULT_OUTPUT": "table"}, id="AWS_DEFAULT_OUTPUT"),
        pytest.param(1, {"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "work"}, id="profile"),
        pytest.param(1, {"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "iso"}, id="times"),
        pytest.param(2, {"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "wire"}, id="YAML"),
        pytest.param(2, {"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "none"}, id="no profile"),
        pytest.param(2, {"AWS_DEFAULT_REGION": None}, id="no region"),
        pytest.param(2, {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, id="no key"),
        pytest.param(2, {"AWS_SECRET_ACCESS_KEY": "wrong", "AWS_PAGER": "cat"}, id="wrong key"),
    ],
)
def test_the_environment_means_the_same(
    filled: Server, folder: Path, version_2: AwsCli, version: int, env: dict[str, str | None]
) -> None:
    del version_2  # it skips where that is not installed
    words = ["ecr", "describe-repositories", "--repository-names", "eq/one", "eq/two"]
    words += ["--endpoint-url", filled.endpoint]
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
    whole = {name: text for name, text in {**base, **filled.env, **env}.items() if text is not None}
    aws = "/usr/bin/aws" if version == 2 else _program("aws")

    ours, theirs = (
        subprocess.run(
            [program, *words],
            cwd=folder,
            env=whole,
            capture_output=True,
            text=True,
            check=False,
        )
        for program in (_program("ecrate"), aws)
    )

    assert ours.stdout == theirs.stdout
    assert ours.returncode == theirs.returncode


@pytest.mark.parametrize("options", [[], ["--output", "table", "--color", "on"]], ids=str)
def test_the_programs_print_the_same_bytes(filled: Server, options: list[str]) -> None:
    words = ["ecr", "describe-repositories", "--repository-names", "eq/one", "eq/two", *options]

    ours = run_command([_program("ecrate"), *words], filled)
    theirs = run_command([_program("aws"), *words], filled)

    assert ours.stdout == theirs.stdout != ""


def test_the_program_of_version_2_ends_as_its_driver_does(
    filled: Server, version_2: AwsCli
) -> None:
    words = ["ecr", "list-images", "--repository-name", "no/such", "--output", "yaml"]
    words += ["--endpoint-url", filled.endpoint]

    program = run_command(["/usr/bin/aws", *words], filled)

    driver = version_2(*words)
    assert (program.returncode, program.stdout) == (driver.code, driver.out)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
