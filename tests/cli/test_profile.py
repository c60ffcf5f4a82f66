from __future__ import annotations

from pathlib import Path

import pytest

from ecrate.cli.failures import CommandError
from ecrate.cli.options import split_common_options
from ecrate.cli.profile import Credentials, Profile
from ecrate.cli.reference import endpoint_of, parse_reference
from tests.cli.conftest import Run

_CONFIG = """
[default]
region = eu-west-1

[profile work]
region = eu-central-1
output = text
endpoint_url = http://work:1

ca_bundle = /work.pem
cli_timestamp_format = iso8601
cli_binary_format = base64
cli_pager = cat

[profile odd]
output = xml
cli_timestamp_format = noon
cli_binary_format = hex

[profile split]
services = local

[services local]
s3 =
  endpoint_url = http://wrong:1
ecr =
  endpoint_url = http://right:1
"""
_CREDENTIALS = """
[default]
aws_access_key_id = DEFAULT
aws_secret_access_key = secret

[work]
aws_access_key_id = WORK
aws_secret_access_key = secret
aws_session_token = token

[half]
aws_access_key_id = HALF
"""


@pytest.fixture
def profile(plain_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Write both files and give the function that makes a profile of options."""
    del plain_run  # it cleans the environment
    (tmp_path / "config").write_text(_CONFIG)
    (tmp_path / "credentials").write_text(_CREDENTIALS)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return _make


def _make(*words: str) -> Profile:
    return Profile(split_common_options(list(words), "")[0])


pytestmark = pytest.mark.usefixtures("profile")


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        pytest.param((), {}, "eu-west-1", id="default profile"),
        pytest.param((), {"AWS_PROFILE": "work"}, "eu-central-1", id="profile by variable"),
        pytest.param(("--profile", "work"), {}, "eu-central-1", id="profile by option"),
        pytest.param((), {"AWS_DEFAULT_REGION": "a"}, "a", id="variable"),
        pytest.param((), {"AWS_DEFAULT_REGION": "a", "AWS_REGION": "b"}, "b", id="AWS_REGION"),
        pytest.param(("--region", "c"), {"AWS_REGION": "b"}, "c", id="option"),
    ],
)
def test_region(
    words: tuple[str, ...],
    variables: dict[str, str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert _make(*words).region == expected


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        pytest.param((), {}, "http://127.0.0.1:5100", id="built in"),
        pytest.param(("--profile", "work"), {}, "http://work:1", id="profile"),
        pytest.param(("--profile", "split"), {}, "http://right:1", id="services section"),
        pytest.param((), {"AWS_ENDPOINT_URL": "http://a"}, "http://a", id="variable"),
        pytest.param(
            (),
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_ECR": "http://b"},
            "http://b",
            id="variable for ECR",
        ),
        pytest.param(
            ("--profile", "work"), {"AWS_ENDPOINT_URL": "http://a"}, "http://a", id="over profile"
        ),
        pytest.param(
            ("--endpoint-url", "http://c"), {"AWS_ENDPOINT_URL_ECR": "http://b"}, "http://c", id="o"
        ),
        pytest.param(
            (),
            {"AWS_ENDPOINT_URL": "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            "http://127.0.0.1:5100",
            id="ignored",
        ),
    ],
)
def test_endpoint(
    words: tuple[str, ...],
    variables: dict[str, str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert _make(*words).endpoint == expected


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        pytest.param((), {}, Credentials("DEFAULT", "secret", None), id="default profile"),
        pytest.param(("--profile", "work"), {}, Credentials("WORK", "secret", "token"), id="named"),
        pytest.param(
            (),
            {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "work"},
            Credentials("ENV", "s", None),
            id="variables over a profile by variable",
        ),
        pytest.param(
            ("--profile", "work"),
            {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"},
            Credentials("WORK", "secret", "token"),
            id="profile by option over variables",
        ),
        pytest.param(("--no-sign-request",), {}, None, id="unsigned"),
    ],
)
def test_credentials(
    words: tuple[str, ...],
    variables: dict[str, str],
    expected: Credentials | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert _make(*words).credentials() == expected


@pytest.mark.parametrize(
    ("words", "exit_code", "text"),
    [
        pytest.param(("--profile", "half"), 253, "incomplete", id="half a key"),
        pytest.param(("--profile", "nobody"), 255, "(nobody) could not be found", id="no profile"),
        pytest.param(("--profile", "split"), 253, "ecrate env", id="no key"),
    ],
)
def test_credentials_fail_with_advice(words: tuple[str, ...], exit_code: int, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        _make(*words).credentials()

    assert caught.value.exit_code == exit_code
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        pytest.param("app", (), "http://127.0.0.1:5100", id="name only"),
        pytest.param("a/b/c:1", (), "http://127.0.0.1:5100", id="name with slashes"),
        pytest.param("127.0.0.1:5100/app", (), "http://127.0.0.1:5100", id="default host"),
        pytest.param("localhost:9/app", (), None, id="another server on this machine"),
        pytest.param("registry.test/app", (), None, id="another machine"),
        pytest.param(
            "111122223333.dkr.ecr.eu-west-1.localhost:9/app",
            (),
            "http://111122223333.dkr.ecr.eu-west-1.localhost:9",
            id="registry on this machine",
        ),
        pytest.param(
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/app",
            (),
            "https://api.ecr.eu-west-1.amazonaws.com",
            id="Amazon's own",
        ),
        pytest.param(
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/app",
            ("--endpoint-url", "http://other:1"),
            "http://other:1",
            id="option",
        ),
        pytest.param("work:1/app", ("--profile", "work"), "http://work:1", id="host as configured"),
    ],
)
def test_endpoint_of_an_image_name(name: str, words: tuple[str, ...], expected: str | None) -> None:
    options, _ = split_common_options(list(words), "")

    assert endpoint_of(parse_reference(name), Profile(options)) == expected


def test_parse_reference_takes_account_and_region_from_a_registry_host() -> None:
    reference = parse_reference("111122223333.dkr.ecr.eu-west-1.localhost:9/team/app:v1")

    assert (reference.region, reference.tag) == ("eu-west-1", "v1")
    assert reference.members() == {"repositoryName": "team/app", "registryId": "111122223333"}


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        pytest.param((), {}, ("json", "wire", "raw-in-base64-out", "less", None), id="built in"),
        pytest.param(
            ("--profile", "work"),
            {},
            ("text", "iso8601", "base64", "cat", "/work.pem"),
            id="profile",
        ),
        pytest.param(
            ("--profile", "work"),
            {"AWS_DEFAULT_OUTPUT": "table", "AWS_PAGER": "more", "AWS_CA_BUNDLE": "/b.pem"},
            ("table", "iso8601", "base64", "more", "/b.pem"),
            id="variables",
        ),
        pytest.param(
            (
                *("--profile", "work", "--output", "yaml", "--no-cli-pager"),
                *("--cli-binary-format", "raw-in-base64-out", "--ca-bundle", "/c.pem"),
            ),
            {"AWS_DEFAULT_OUTPUT": "table", "AWS_PAGER": "more", "AWS_CA_BUNDLE": "/b.pem"},
            ("yaml", "iso8601", "raw-in-base64-out", "", "/c.pem"),
            id="options",
        ),
        pytest.param(
            ("--output", "yaml"),
            {"PAGER": "most"},
            ("yaml", "iso8601", "raw-in-base64-out", "most", None),
            id="times in YAML",
        ),
    ],
)
def test_forms(
    words: tuple[str, ...],
    variables: dict[str, str],
    expected: tuple[str | None, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PAGER", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    made = _make(*words)

    found = (made.output, made.timestamp_format, made.binary_format, made.pager, made.ca_bundle)
    assert found == expected


@pytest.mark.parametrize("name", ["output", "timestamp_format", "binary_format"])
def test_forms_that_are_none_name_the_key(name: str) -> None:
    options = () if name == "output" else ("--output", "json")

    with pytest.raises(CommandError, match=f"{name}; known are"):
        getattr(_make("--profile", "odd", *options), name)
