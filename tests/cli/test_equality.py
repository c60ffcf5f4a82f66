"""What `ecrate ecr` prints is, byte for byte, what `aws ecr` prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, Run
from tests.support.images import make_image
from tests.support.server import Server, run_command

# The program takes half a second to start, so one process answers all tests.
_AWS = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = create_clidriver().main(json.loads(line))
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""

Aws = Callable[..., Ran]


@pytest.fixture(scope="session")
def filled(server: Server) -> Server:
    """Two repositories, the first with three images, one of them without a tag."""
    ecr = server.ecr()
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
    return server


@pytest.fixture(scope="session")
def aws(filled: Server) -> Iterator[Aws]:
    """Run `aws` with the server's variables."""
    with subprocess.Popen(
        [sys.executable, "-c", _AWS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **filled.env},
    ) as process:

        def call(*words: str) -> Ran:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(words) + "\n")
            process.stdin.flush()
            code, out, err = json.loads(process.stdout.readline())
            return Ran(code, out, err)

        yield call


_ONE = ["--repository-name", "eq/one"]
_COMMANDS = [
    pytest.param(["describe-repositories"], id="describe-repositories"),
    pytest.param(["describe-repositories", "--repository-names", "eq/one", "eq/two"], id="by name"),
    pytest.param(["describe-repositories", "--max-items", "1"], id="max-items"),
    pytest.param(["describe-repositories", "--page-size", "1"], id="page-size"),
    pytest.param(["describe-repositories", "--max-results", "1"], id="max-results"),
    pytest.param(["describe-repositories", "--no-paginate"], id="no-paginate"),
    pytest.param(
        ["describe-repositories", "--page-size", "1", "--query", "repositories[].repositoryUri"],
        id="query over pages",
    ),
    pytest.param(["describe-repositories", "--query", "nothing"], id="query of nothing"),
    pytest.param(
        ["describe-repositories", "--query", "repositories[].[repositoryName,createdAt]"],
        id="query of rows",
    ),
    pytest.param(["describe-images", *_ONE], id="describe-images"),
    pytest.param(["describe-images", *_ONE, "--image-ids", "imageTag=1"], id="describe one image"),
    pytest.param(["describe-images", *_ONE, "--filter", "tagStatus=UNTAGGED"], id="filter"),
    pytest.param(["list-images", *_ONE], id="list-images"),
    pytest.param(["list-images", *_ONE, "--max-items", "2"], id="some images"),
    pytest.param(["list-images", "--repository-name", "eq/two"], id="no images"),
    pytest.param(
        ["batch-get-image", *_ONE, "--image-ids", "imageTag=1", "imageTag=none"], id="images"
    ),
    pytest.param(
        ["batch-check-layer-availability", *_ONE, "--layer-digests", "sha256:ab", "nonsense"],
        id="layers",
    ),
    pytest.param(["batch-delete-image", *_ONE, "--image-ids", "imageTag=none"], id="no deletion"),
    pytest.param(
        ["describe-repositories", "--query", "repositories[0].imageScanningConfiguration"],
        id="query of a structure",
    ),
    pytest.param(
        ["describe-repositories", "--query", "length(repositories)"], id="query of a number"
    ),
    pytest.param(["list-images", "--repository-name", "no/such"], id="service error"),
    pytest.param(
        ["describe-images", *_ONE, "--generate-cli-skeleton", "output"], id="output skeleton"
    ),
    pytest.param(["put-image", "--generate-cli-skeleton", "input"], id="input skeleton"),
    pytest.param(["create-repository", "--generate-cli-skeleton", "output"], id="required missing"),
]


@pytest.mark.parametrize("form", ["json", "text", "table"])
@pytest.mark.parametrize("words", _COMMANDS)
def test_output_equals_that_of_aws(run: Run, aws: Aws, words: list[str], form: str) -> None:
    ours = run("ecr", *words, "--output", form)
    theirs = aws("ecr", *words, "--output", form)

    assert ours.out == theirs.out
    assert (ours.code == 0) == (theirs.code == 0)


@pytest.mark.parametrize("options", [[], ["--output", "table", "--color", "on"]], ids=str)
def test_the_programs_print_the_same_bytes(filled: Server, options: list[str]) -> None:
    words = ["ecr", "describe-repositories", "--repository-names", "eq/one", "eq/two", *options]

    ours = run_command([_program("ecrate"), *words], filled)
    theirs = run_command([_program("aws"), *words], filled)

    assert ours.stdout == theirs.stdout != ""


def test_a_token_of_aws_goes_on_where_it_stopped(run: Run, aws: Aws) -> None:
    words = ["ecr", "list-images", *_ONE, "--output", "text"]
    token = aws(*words, "--max-items", "1").out.split()[-1]

    ours = run(*words, "--starting-token", token)
    theirs = aws(*words, "--starting-token", token)

    assert ours.out == theirs.out != ""


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
