"""Requests against the service model: which are refused, and in whose words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrate.aws.errors import FrontDoorError
from ecrate.aws.model import Shape, service_model
from ecrate.aws.table import OPERATIONS
from ecrate.aws.validation import Validator
from ecrate.domain.errors import InvalidParameter
from tests.support.server import Server, running_server
from tests.support.shapes import requests, values
from tests.support.signing import call, error_of

NAME = {"repositoryName": "test/name"}
COMMON_CODES = {"SerializationException", "AccessDeniedException", "ThrottlingException"}
NAME_PATTERN = (
    "must satisfy regular expression "
    "'(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
)
DIGEST = "Member must satisfy regular expression pattern: [a-zA-Z0-9-_+.]+:[a-fA-F0-9]+"


@pytest.fixture(scope="module")
def busy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for requests that may create anything."""
    with running_server(tmp_path_factory.mktemp("busy") / "data") as running:
        running.ecr().create_repository(**NAME)  # type: ignore[arg-type] # no TypedDict
        yield running


@pytest.mark.parametrize(
    ("operation", "parameters", "member", "constraint"),
    [
        pytest.param("ListImages", {}, "repositoryName", "Member must not be null", id="required"),
        pytest.param(
            "ListImages",
            {"repositoryName": None},
            "repositoryName",
            "Member must not be null",
            id="required-null",
        ),
        pytest.param(
            "CreateRepository",
            {**NAME, "tags": [{"Key": "a", "Value": "b"}, {"Key": "a"}]},
            "tags.2.member.Value",
            "Member must not be null",
            id="required-inside",
        ),
        pytest.param(
            "ListImages", {"repositoryName": "UPPER"}, "repositoryName", NAME_PATTERN, id="name"
        ),
        pytest.param(
            "ListImages", {"repositoryName": "a/"}, "repositoryName", NAME_PATTERN, id="name-end"
        ),
        pytest.param(
            "ListImages", {"repositoryName": "ab\n"}, "repositoryName", NAME_PATTERN, id="name-line"
        ),
        pytest.param(
            "ListImages",
            {"repositoryName": "a"},
            "repositoryName",
            "Member must have length greater than or equal to 2",
            id="short",
        ),
        pytest.param(
            "ListImages",
            {"repositoryName": "a" * 257},
            "repositoryName",
            "Member must have length less than or equal to 256",
            id="long",
        ),
        pytest.param(
            "ListImages",
            {**NAME, "maxResults": 0},
            "maxResults",
            "Member must have value greater than or equal to 1",
            id="least",
        ),
        pytest.param(
            "ListImages",
            {**NAME, "maxResults": 1001},
            "maxResults",
            "Member must have value less than or equal to 1000",
            id="most",
        ),
        pytest.param(
            "ListImages",
            {**NAME, "filter": {"tagStatus": "SOME"}},
            "filter.tagStatus",
            "Member must satisfy enum value set: [TAGGED, UNTAGGED, ANY]",
            id="enum",
        ),
        pytest.param(
            "CreateRepository",
            {**NAME, "encryptionConfiguration": {"encryptionType": "ROT13"}},
            "encryptionConfiguration.encryptionType",
            "Member must satisfy enum value set: [AES256, KMS, KMS_DSSE]",
            id="enum-inside",
        ),
        pytest.param(
            "DescribeImages",
            {**NAME, "imageIds": []},
            "imageIds",
            "Member must have length greater than or equal to 1",
            id="empty-list",
        ),
        pytest.param(
            "DescribeImages",
            {**NAME, "imageIds": [{}] * 101},
            "imageIds",
            "Member must have length less than or equal to 100",
            id="long-list",
        ),
        pytest.param(
            "GetAuthorizationToken",
            {"registryIds": ["123456789012", "12345678901x"]},
            "registryIds.2.member",
            "Member must satisfy regular expression pattern: [0-9]{12}",
            id="pattern-in-list",
        ),
        pytest.param(
            "GetDownloadUrlForLayer",
            {**NAME, "layerDigest": "sha256:abc\n"},
            "layerDigest",
            DIGEST,
            id="pattern-is-whole",
        ),
        pytest.param(
            "CompleteLayerUpload",
            {**NAME, "uploadId": "1", "layerDigests": ["sha256:abc"]},
            "uploadId",
            "Member must satisfy regular expression pattern: "
            "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
            id="upload-id",
        ),
        pytest.param(
            "CreateRepository",
            {
                **NAME,
                "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "a/b"}],
            },
            "imageTagMutabilityExclusionFilters.1.member.filter",
            "Member must satisfy regular expression pattern: ^[0-9a-zA-Z._*-]{1,128}$",
            id="anchored-pattern",
        ),
        pytest.param(
            "BatchCheckLayerAvailability",
            {**NAME, "layerDigests": ["x" * 1001]},
            "layerDigests.1.member",
            "Member must have length less than or equal to 1000",
            id="length-in-list",
        ),
        pytest.param(
            "CreateRepository",
            {**NAME, "tags": [{"Key": "a", "Value": "b\0c"}]},
            "tags.1.member.Value",
            r"Member must satisfy regular expression pattern: [^\x00]*",
            id="nul",
        ),
        pytest.param(
            "PutImage",
            {**NAME, "imageManifest": ""},
            "imageManifest",
            "Member must have length greater than or equal to 1",
            id="empty-manifest",
        ),
    ],
)
def test_request_outside_the_model_is_refused(
    server: Server, operation: str, parameters: dict[str, Any], member: str, constraint: str
) -> None:
    answer = call(server, operation, json.dumps(parameters).encode())

    assert error_of(answer) == (
        400,
        "InvalidParameterException",
        f"Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'",
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param(
            {"maxResults": "5"}, "STRING_VALUE can not be converted to Integer", id="string"
        ),
        pytest.param({"maxResults": True}, "TRUE_VALUE can not be converted to Integer", id="true"),
        pytest.param(
            {"maxResults": False}, "FALSE_VALUE can not be converted to Integer", id="false"
        ),
        pytest.param(
            {"maxResults": 1.5}, "DECIMAL_VALUE can not be converted to Integer", id="decimal"
        ),
        pytest.param({"maxResults": [1]}, "Start of list found where not expected", id="list"),
        pytest.param(
            {"maxResults": {}}, "Start of structure or map found where not expected", id="structure"
        ),
        pytest.param({"nextToken": 5}, "NUMBER_VALUE can not be converted to String", id="number"),
        pytest.param(
            {"repositoryNames": "ab"}, "STRING_VALUE can not be converted to List", id="no-list"
        ),
        pytest.param(
            {"repositoryNames": [None]}, "NULL_VALUE can not be converted to String", id="null"
        ),
    ],
)
def test_value_of_another_type_is_refused(
    server: Server, parameters: dict[str, Any], message: str
) -> None:
    answer = call(server, "DescribeRepositories", json.dumps(parameters).encode())

    assert error_of(answer) == (400, "SerializationException", message)


@pytest.mark.parametrize("value", [pytest.param("yes", id="string"), pytest.param(1, id="number")])
def test_value_that_is_no_truth_is_refused(server: Server, value: object) -> None:
    answer = call(server, "DeleteRepository", json.dumps({**NAME, "force": value}).encode())

    assert error_of(answer)[1] == "SerializationException"


@pytest.mark.parametrize("name", sorted(service_model().operations))
def test_every_input_of_the_model_can_be_checked(name: str) -> None:
    shape = service_model().operations[name].input

    missing = _first_missing(shape)

    assert missing == (shape.required[0] if shape.required else "")


def _first_missing(shape: Shape) -> str:
    try:
        Validator().check(shape, {})
    except InvalidParameter as error:
        return error.member
    return ""


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        pytest.param(Shape("A", "double", minimum=1), 1.5, id="double"),
        pytest.param(Shape("A", "timestamp"), 1700000000.25, id="timestamp"),
        pytest.param(
            Shape("A", "map", key=Shape("B", "string"), value=Shape("C", "long")),
            {"a": 1, "b": 2},
            id="map",
        ),
        pytest.param(Shape("A", "string", enum=("x", "y")), "y", id="enum"),
        pytest.param(Shape("A", "long", minimum=0, maximum=3), 3, id="limits"),
    ],
)
def test_value_of_the_type_passes(shape: Shape, value: object) -> None:
    assert Validator().check(shape, value) == value


def test_value_in_a_map_is_checked_under_its_key() -> None:
    shape = Shape("A", "map", key=Shape("B", "string"), value=Shape("C", "long", maximum=3))

    with pytest.raises(InvalidParameter) as caught:
        Validator().check(shape, {"a": 1, "b": 4}, "tags")

    assert caught.value.member == "tags.b"


BOTOCORE = Session().get_service_model("ecr")


@pytest.mark.parametrize("name", sorted(service_model().operations.keys() - {"UploadLayerPart"}))
@settings(max_examples=10)
@given(data=st.data())
def test_what_passes_here_passes_in_botocore(name: str, data: st.DataObject) -> None:
    request = data.draw(values(service_model().operations[name].input))
    shape = BOTOCORE.operation_model(name).input_shape
    assert shape is not None
    report = ParamValidator().validate(request, shape)

    assert not (_passes(name, request) and report.has_errors()), report.generate_report()


def _passes(name: str, request: Any) -> bool:
    try:
        Validator().check(service_model().operations[name].input, request)
    except (InvalidParameter, FrontDoorError):
        return False
    return True


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=25)
@given(data=st.data())
def test_any_request_gets_an_answer_that_the_model_declares(
    busy_server: Server, name: str, data: st.DataObject
) -> None:
    operation = service_model().operations[name]
    request = data.draw(requests(operation.input))

    answer = call(busy_server, name, json.dumps(request).encode())

    assert answer.headers.get("x-amzn-ErrorType", "") in {"", *COMMON_CODES, *operation.errors}
    assert answer.status_code in {200, 400}
