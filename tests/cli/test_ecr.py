from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ecrate.aws.model import service_model
from tests.cli.conftest import Run
from tests.support.server import Server

_OPERATIONS = [each.cli_name for each in service_model().operations.values()]


def test_describe_repositories_prints_json(run: Run, repository: str) -> None:
    ran = run("ecr", "describe-repositories", "--repository-names", repository)

    found = json.loads(ran.out)["repositories"]
    assert (ran.code, ran.err) == (0, "")
    assert [each["repositoryName"] for each in found] == [repository]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--output", "text"], "{0}\n", id="text"),
        pytest.param(["--output", "json"], '"{0}"\n', id="json"),
    ],
)
def test_query_selects(run: Run, repository: str, words: list[str], expected: str) -> None:
    ran = run(
        "ecr",
        "describe-repositories",
        "--repository-names",
        repository,
        "--query",
        "repositories[0].repositoryName",
        *words,
    )

    assert ran.out == expected.format(repository)


def test_common_options_may_stand_before_the_command(run: Run, repository: str) -> None:
    ran = run("--output", "text", "ecr", "list-images", "--repository-name", repository)

    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_options_override_input_json(run: Run, repository: str, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text(json.dumps({"repositoryName": "not/this", "imageTagMutability": "IMMUTABLE"}))

    ran = run(
        "ecr",
        "create-repository",
        "--repository-name",
        f"{repository}/inner",
        "--cli-input-json",
        f"file://{file}",
    )

    answer = json.loads(ran.out)["repository"]
    assert answer["repositoryName"] == f"{repository}/inner"
    assert answer["imageTagMutability"] == "IMMUTABLE"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("scanOnPush=true", id="shorthand"),
        pytest.param('{"scanOnPush": true}', id="JSON"),
    ],
)
def test_structures_are_shorthand_or_json(run: Run, repository: str, value: str) -> None:
    ran = run(
        "ecr",
        "create-repository",
        "--repository-name",
        f"{repository}/{hashlib.sha256(value.encode()).hexdigest()}",
        "--image-scanning-configuration",
        value,
    )

    answer = json.loads(ran.out)["repository"]
    assert answer["imageScanningConfiguration"] == {"scanOnPush": True}


def test_delete_repository_with_force_removes_images_too(run: Run, repository: str) -> None:
    ran = run("ecr", "delete-repository", "--repository-name", repository, "--force")

    assert json.loads(ran.out)["repository"]["repositoryName"] == repository


def test_a_layer_is_uploaded_with_blob_options(run: Run, repository: str, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(bytes(range(256)) * 4)
    digest = f"sha256:{hashlib.sha256(part.read_bytes()).hexdigest()}"
    named = ["--repository-name", repository]
    started = json.loads(run("ecr", "initiate-layer-upload", *named).out)
    named += ["--upload-id", started["uploadId"]]

    sent = run(
        "ecr",
        "upload-layer-part",
        *named,
        "--part-first-byte",
        "0",
        "--part-last-byte",
        "1023",
        "--layer-part-blob",
        f"fileb://{part}",
    )
    completed = run("ecr", "complete-layer-upload", *named, "--layer-digests", digest)

    assert json.loads(sent.out)["lastByteReceived"] == 1023
    assert json.loads(completed.out)["layerDigest"] == digest


def test_get_login_password_prints_the_password(run: Run, server: Server) -> None:
    token = server.ecr().get_authorization_token()["authorizationData"][0]["authorizationToken"]

    ran = run("ecr", "get-login-password")

    # Each token is another, but of the same form.
    password = base64.b64decode(token).decode().removeprefix("AWS:")
    assert ran.out.endswith("\n")
    assert abs(len(ran.out.strip()) - len(password)) < 8
    assert ":" not in ran.out


def test_pages_are_joined_and_cut(run: Run, make_repository: Callable[[], str]) -> None:
    names = sorted(make_repository() for _ in range(5))
    described = [
        "ecr",
        "describe-repositories",
        "--query",
        "[NextToken, repositories[].repositoryName]",
    ]

    first = json.loads(run(*described, "--page-size", "2", "--max-items", "3").out)
    rest = json.loads(run(*described, "--page-size", "2", "--starting-token", first[0]).out)

    assert len(first[1]) == 3
    assert rest[0] is None
    assert set(names) <= {*first[1], *rest[1]}
    assert not {*first[1]} & {*rest[1]}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        pytest.param([], 252, "an operation is missing", id="no operation"),
        pytest.param(["list-imagez"], 252, "list-images", id="unknown operation"),
        pytest.param(["list-images"], 252, "--repository-name", id="required option"),
        pytest.param(
            ["describe-registry", "--x", "y"], 252, "Unknown options: --x, y", id="option"
        ),
        pytest.param(["describe-registry", "--output", "xml"], 252, "yaml-stream", id="choice"),
        pytest.param(["describe-registry", "--query", "a["], 252, "--query", id="query"),
        pytest.param(["describe-registry", "--endpoint-url", "a:1"], 252, "http://", id="url"),
        pytest.param(
            ["list-images", "--repository-name", "ab", "--filter", "tagStatus"],
            252,
            "Error parsing parameter '--filter'",
            id="shorthand",
        ),
        pytest.param(
            ["list-images", "--repository-name", "ab", "--filter", "{"], 252, "JSON", id="JSON"
        ),
        pytest.param(
            ["list-images", "--repository-name", "ab", "--filter", "colour=red"],
            252,
            "'colour' is unknown in filter",
            id="unknown member",
        ),
        pytest.param(
            ["list-images", "--repository-name", "a"],
            252,
            "repositoryName has length 1",
            id="short",
        ),
        pytest.param(
            ["list-images", "--cli-input-json", '{"repositoryName": 1}'],
            252,
            "repositoryName has to be a text",
            id="type",
        ),
        pytest.param(
            ["list-images", "--repository-name", "file:///nowhere/x"], 252, "/nowhere/x", id="file"
        ),
        pytest.param(
            ["list-images", "--repository-name", "ab", "--max-results", "x"],
            252,
            "'x' is not a number",
            id="number",
        ),
        pytest.param(
            ["list-images", "--repository-name", "ab", "--no-paginate", "--max-items", "1"],
            252,
            "Cannot specify --no-paginate along with --max-items",
            id="paging",
        ),
        pytest.param(
            ["list-images", "--repository-name", "no/such"],
            254,
            "An error occurred (RepositoryNotFoundException) when calling the ListImages "
            "operation: The repository with name 'no/such' does not exist in the registry with id "
            "'000000000000'\n",
            id="service error",
        ),
        pytest.param(
            ["describe-registry", "--endpoint-url", "http://127.0.0.1:9"],
            255,
            "Could not connect to the endpoint URL",
            id="no server",
        ),
    ],
)
def test_failures_have_exit_codes_and_texts(
    run: Run, words: list[str], code: int, text: str
) -> None:
    ran = run("ecr", *words)

    assert (ran.code, ran.out) == (code, "")
    assert text in ran.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        pytest.param(["--repositry-name", "ab"], "maybe you meant --repository-name", id="option"),
        pytest.param(["--regoin", "ab"], "maybe you meant --region", id="common option"),
        pytest.param(["--filter=x", "--xyz"], "Unknown options: --xyz\n", id="nothing near"),
    ],
)
def test_a_wrong_option_is_answered_with_the_nearest(run: Run, words: list[str], text: str) -> None:
    ran = run("ecr", "list-images", "--repository-name", "ab", *words)

    assert ran.code == 252
    assert text in ran.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        pytest.param(["--filter", "tagStatus=[a"], "\ntagStatus=[a\n            ^", id="shorthand"),
        pytest.param(["--filter", "{"], "\nJSON received: {", id="JSON"),
        pytest.param(["--query", "a["], '\n"a["\n', id="query"),
        pytest.param(["--filter", "a=b,c=d"], "\n'c' is unknown in filter", id="second problem"),
    ],
)
def test_debug_tells_the_rest(run: Run, words: list[str], text: str) -> None:
    command = ["ecr", "list-images", "--repository-name", "ab", *words]

    short, long = run(*command), run(*command, "--debug")

    assert len(short.err.splitlines()) == 2
    assert long.err.startswith(short.err)
    assert text in long.err


@pytest.mark.parametrize(
    ("words", "part", "text"),
    [
        pytest.param([], b"b", "", id="as it is"),
        pytest.param(["--cli-binary-format", "base64"], b"Yg==", "", id="base64"),
        pytest.param(["--cli-binary-format", "base64"], b"b", "is not base64", id="not base64"),
    ],
)
def test_bytes_are_written_as_the_format_says(
    run: Run, repository: str, tmp_path: Path, *, words: list[str], part: bytes, text: str
) -> None:
    named = ["--repository-name", repository]
    upload = json.loads(run("ecr", "initiate-layer-upload", *named).out)["uploadId"]
    given = {"uploadId": upload, "partFirstByte": 0, "partLastByte": 0}
    file = tmp_path / "input.json"
    file.write_text(json.dumps({**given, "layerPartBlob": part.decode()}))

    ran = run("ecr", "upload-layer-part", *named, "--cli-input-json", f"file://{file}", *words)

    assert text in ran.err
    assert (ran.code == 0) == (not text)


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        pytest.param({"AWS_REGION": "a"}, "Unable to locate credentials", id="credentials"),
        pytest.param({"AWS_ACCESS_KEY_ID": "a"}, "You must specify a region", id="region"),
    ],
)
def test_missing_configuration_is_253(
    plain_run: Run, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    ran = plain_run("ecr", "describe-registry")

    assert ran.code == 253
    assert text in ran.err
    assert "ecrate env" in ran.err


@pytest.mark.parametrize("name", _OPERATIONS)
def test_every_operation_has_help_and_a_skeleton(plain_run: Run, name: str) -> None:
    page = plain_run("ecr", name, "help")
    skeleton = plain_run("ecr", name, "--generate-cli-skeleton")

    heads = [line for line in page.out.splitlines() if line and not line.startswith(" ")]
    assert heads == ["NAME", "DESCRIPTION", "SYNOPSIS", "OPTIONS", "GLOBAL OPTIONS", "OUTPUT"]
    assert not re.search(r"</?(p|a|i|ul|li|code|note|important)\b", page.out)
    assert isinstance(json.loads(skeleton.out), dict)


def test_service_help_lists_every_command(plain_run: Run) -> None:
    page = plain_run("ecr", "help").out

    listed = {line.strip().removeprefix("o ") for line in page.splitlines() if " o " in line}
    assert listed == {*_OPERATIONS, "get-login-password", "help", "wait"}


@pytest.mark.parametrize(
    "words",
    [["wait", "help"], ["wait", "image-scan-complete", "help"], ["get-login-password", "help"]],
    ids=" ".join,
)
def test_other_commands_have_help(plain_run: Run, words: list[str]) -> None:
    assert plain_run("ecr", *words).out.startswith("NAME\n")
