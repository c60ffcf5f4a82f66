"""InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from tests.support.images import Blob, digest_of
from tests.support.pushing import MIB, push_layer, start_upload
from tests.support.server import ACCOUNT, Server
from tests.support.signing import call, error_of, sent_head, sign

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

MIN_PART = 5 * MIB
MAX_PART = 20 * MIB


def part_body(repository: str, upload_id: str, first: int, content: bytes) -> dict[str, Any]:
    return {
        "repositoryName": repository,
        "uploadId": upload_id,
        "partFirstByte": first,
        "partLastByte": first + len(content) - 1,
        "layerPartBlob": b64encode(content).decode(),
    }


def send_part(server: Server, parameters: dict[str, Any]) -> tuple[int, str, str]:
    """Send a part; give status, code and message of the refusal."""
    return error_of(call(server, "UploadLayerPart", json.dumps(parameters).encode()))


def complete(ecr: ECRClient, repository: str, upload_id: str, *digests: str) -> str:
    answer = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=list(digests)
    )
    return answer["layerDigest"]


def is_available(ecr: ECRClient, repository: str, digest: str) -> bool:
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    return answer["layers"][0]["layerAvailability"] == "AVAILABLE"


def files_of(server: Server) -> set[str]:
    """Give the files of uploads and blobs."""
    folders = (server.data / "uploads", server.data / "blobs")
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_initiate_layer_upload_gives_an_id_and_the_part_size(
    ecr: ECRClient, repository: str
) -> None:
    answer = ecr.initiate_layer_upload(repositoryName=repository, registryId=ACCOUNT)

    assert UUID(answer["uploadId"]).version == 4
    assert answer["partSize"] == 10 * MIB


def test_initiate_layer_upload_in_an_unknown_repository_is_refused(ecr: ECRClient) -> None:
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.initiate_layer_upload(repositoryName="never/made")


def test_upload_layer_part_tells_the_last_byte(ecr: ECRClient, repository: str) -> None:
    upload_id = start_upload(ecr, repository, b"x" * MIN_PART)

    answer = ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=MIN_PART,
        partLastByte=MIN_PART + 2,
        layerPartBlob=b"end",
    )

    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository
    assert answer["uploadId"] == upload_id
    assert answer["lastByteReceived"] == MIN_PART + 2


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([1], id="byte"),
        pytest.param([MIN_PART, 1], id="smallest-and-byte"),
        pytest.param([10 * MIB, 10 * MIB, 3 * MIB], id="advertised"),
        pytest.param([MAX_PART], id="largest"),
        pytest.param([MAX_PART, MIN_PART + 1, 7], id="mixed"),
    ],
)
def test_complete_layer_upload_makes_the_parts_a_layer(
    ecr: ECRClient, repository: str, sizes: list[int]
) -> None:
    parts = [os.urandom(size) for size in sizes]
    upload_id = start_upload(ecr, repository, *parts)
    digest = digest_of(b"".join(parts))

    answer = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[digest]
    )

    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository
    assert answer["uploadId"] == upload_id
    assert answer["layerDigest"] == digest
    checked = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    assert checked["layers"] == [
        {"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": sum(sizes)}
    ]


def test_upload_layer_part_again_is_harmless(ecr: ECRClient, repository: str) -> None:
    first, last = os.urandom(MIN_PART), b"end"
    upload_id = start_upload(ecr, repository, first, last)

    again = ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=MIN_PART,
        partLastByte=MIN_PART + 2,
        layerPartBlob=last,
    )

    assert again["lastByteReceived"] == MIN_PART + 2
    assert complete(ecr, repository, upload_id, digest_of(first + last)) == digest_of(first + last)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(0, id="from-the-start"),
        pytest.param(9, id="overlap"),
        pytest.param(11, id="gap"),
        pytest.param(2**70, id="far"),
    ],
)
def test_upload_layer_part_refuses_one_that_does_not_follow(
    server: Server, ecr: ECRClient, repository: str, first: int
) -> None:
    upload_id = start_upload(ecr, repository, b"0123456789")
    parameters = part_body(repository, upload_id, first, b"xyz")

    answer = call(server, "UploadLayerPart", json.dumps(parameters).encode())

    assert answer.status_code == 400
    assert answer.json() == {
        "__type": "InvalidLayerPartException",
        "message": f"First byte of the layer part is {first} instead of 10",
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "uploadId": upload_id,
        "lastValidByteReceived": 9,
    }


def test_upload_layer_part_tells_boto3_where_to_go_on(ecr: ECRClient, repository: str) -> None:
    upload_id = start_upload(ecr, repository)

    with pytest.raises(ecr.exceptions.InvalidLayerPartException) as caught:
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=5,
            partLastByte=5,
            layerPartBlob=b"x",
        )

    response: dict[str, Any] = dict(caught.value.response)
    assert response["lastValidByteReceived"] == 0


@pytest.mark.parametrize(
    ("content", "given"),
    [
        pytest.param(b"too short", 9, id="short"),
        pytest.param(b"this is too long", 16, id="long"),
        pytest.param(b"", 0, id="empty"),
    ],
)
def test_upload_layer_part_refuses_another_size_than_its_range(
    server: Server, ecr: ECRClient, repository: str, content: bytes, given: int
) -> None:
    upload_id = start_upload(ecr, repository, b"kept")
    parameters = part_body(repository, upload_id, 4, content) | {"partLastByte": 4 + 11}

    refusal = send_part(server, parameters)

    assert refusal == (
        400,
        "InvalidLayerPartException",
        f"Size of the layer part does not match its range: {given} bytes instead of 12",
    )
    assert complete(ecr, repository, upload_id, digest_of(b"kept")) == digest_of(b"kept")


@pytest.mark.parametrize(
    ("last", "member", "constraint"),
    [
        pytest.param(
            9, "partLastByte", "Member must have value greater than or equal to 10", id="backwards"
        ),
        pytest.param(
            10 + MAX_PART,
            "layerPartBlob",
            f"Member must have length less than or equal to {MAX_PART}",
            id="too-large",
        ),
        pytest.param(
            -1, "partLastByte", "Member must have value greater than or equal to 0", id="negative"
        ),
    ],
)
def test_upload_layer_part_refuses_an_impossible_range(
    server: Server, repository: str, last: int, member: str, constraint: str
) -> None:
    parameters = part_body(repository, str(uuid4()), 10, b"x") | {"partLastByte": last}

    refusal = send_part(server, parameters)

    assert refusal == (
        400,
        "InvalidParameterException",
        f"Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'",
    )


def test_upload_layer_part_refuses_more_than_20_mib(
    server: Server, ecr: ECRClient, repository: str
) -> None:
    upload_id = start_upload(ecr, repository)
    parameters = part_body(repository, upload_id, 0, b"x" * (MAX_PART + 1))

    refusal = send_part(server, parameters)

    assert refusal[1] == "InvalidParameterException"


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param('"?"', id="no-base64"),
        pytest.param('"eHg"', id="no-padding"),
        pytest.param('"eHh4\\n"', id="line-end"),
        pytest.param('"\N{SNOWMAN}"', id="no-ascii"),
        pytest.param('"\udcff\udcfe\udcfd"', id="no-text"),
        pytest.param('"\\x"', id="no-escape"),
        pytest.param('"\\ud800"', id="half-a-character"),
        pytest.param('"" ""', id="two"),
        pytest.param("3", id="number"),
        pytest.param('["eHg="]', id="list"),
    ],
)
def test_upload_layer_part_refuses_what_is_no_base64(
    server: Server, ecr: ECRClient, repository: str, blob: str
) -> None:
    upload_id = start_upload(ecr, repository)
    head = json.dumps(part_body(repository, upload_id, 0, b"xx")).partition('"layerPartBlob"')[0]
    body = f'{head}"layerPartBlob": {blob}}}'.encode(errors="surrogateescape")

    answer = call(server, "UploadLayerPart", body)

    assert error_of(answer)[:2] == (400, "SerializationException")


def test_upload_layer_part_wants_a_blob(server: Server, repository: str) -> None:
    parameters = part_body(repository, str(uuid4()), 0, b"x") | {"layerPartBlob": None}

    refusal = send_part(server, parameters)

    assert refusal[1] == "InvalidParameterException"
    assert "'layerPartBlob' failed to satisfy constraint: 'Member must not be null'" in refusal[2]


def test_upload_layer_part_accepts_escaped_slashes(
    server: Server, ecr: ECRClient, repository: str
) -> None:
    content = b"\xff" * 3000
    upload_id = start_upload(ecr, repository)
    body = json.dumps(part_body(repository, upload_id, 0, content)).replace("//", "\\/\\u002f")

    answer = call(server, "UploadLayerPart", body.encode())

    assert answer.status_code == 200
    assert complete(ecr, repository, upload_id, digest_of(content)) == digest_of(content)


def test_upload_layer_part_of_a_client_that_is_gone_leaves_the_upload_as_it_was(
    server: Server, ecr: ECRClient, repository: str
) -> None:
    files = files_of(server)
    kept, cut = os.urandom(MIN_PART), os.urandom(MIN_PART)
    upload_id = start_upload(ecr, repository, kept)
    body = json.dumps(part_body(repository, upload_id, MIN_PART, cut)).encode()
    headers = sign(server, "UploadLayerPart", body) | {"Content-Length": str(len(body))}

    with sent_head(server, headers) as connection:
        connection.send(body[: 3 * MIB])

    assert files_of(server) - files == {upload_id}
    assert complete(ecr, repository, upload_id, digest_of(kept)) == digest_of(kept)


def test_complete_layer_upload_accepts_a_short_last_part_only(
    ecr: ECRClient, repository: str
) -> None:
    short, last = b"x" * (MIN_PART - 1), b"end"
    upload_id = start_upload(ecr, repository, short, last)

    with pytest.raises(ecr.exceptions.LayerPartTooSmallException) as caught:
        complete(ecr, repository, upload_id, digest_of(short + last))

    assert caught.value.response["Error"]["Message"] == "Layer parts must be at least 5 MiB in size"
    assert not is_available(ecr, repository, digest_of(short + last))


def test_complete_layer_upload_without_parts_is_empty(ecr: ECRClient, repository: str) -> None:
    upload_id = start_upload(ecr, repository)

    with pytest.raises(ecr.exceptions.EmptyUploadException, match=upload_id):
        complete(ecr, repository, upload_id, digest_of(b""))


def test_complete_layer_upload_refuses_another_digest(ecr: ECRClient, repository: str) -> None:
    upload_id = start_upload(ecr, repository, b"content")
    wrong = digest_of(b"other")

    with pytest.raises(ecr.exceptions.InvalidLayerException) as caught:
        complete(ecr, repository, upload_id, wrong)

    assert caught.value.response["Error"]["Message"] == (
        f"Layer digest '{wrong}' does not match calculated digest '{digest_of(b'content')}'"
    )
    assert not is_available(ecr, repository, wrong)
    assert not is_available(ecr, repository, digest_of(b"content"))


def test_complete_layer_upload_can_be_tried_again_with_the_right_digest(
    ecr: ECRClient, repository: str
) -> None:
    upload_id = start_upload(ecr, repository, b"content once more")
    with pytest.raises(ecr.exceptions.InvalidLayerException):
        complete(ecr, repository, upload_id, "sha256:12")

    digest = complete(ecr, repository, upload_id, digest_of(b"content once more"))

    assert is_available(ecr, repository, digest)


@pytest.mark.parametrize(
    ("digests", "stored"),
    [
        pytest.param(["sha256:00", digest_of(b"abc")], digest_of(b"abc"), id="one-of-two"),
        pytest.param(["md5:00"], digest_of(b"abc"), id="unknown-algorithm"),
        pytest.param(
            [f"sha512:{hashlib.sha512(b'abc').hexdigest()}"],
            f"sha512:{hashlib.sha512(b'abc').hexdigest()}",
            id="sha512",
        ),
        pytest.param(
            [f"sha512:{hashlib.sha512(b'abc').hexdigest()}", digest_of(b"abc")],
            f"sha512:{hashlib.sha512(b'abc').hexdigest()}",
            id="both",
        ),
    ],
)
def test_complete_layer_upload_stores_under_the_digest_given(
    ecr: ECRClient, repository: str, digests: list[str], stored: str
) -> None:
    upload_id = start_upload(ecr, repository, b"abc")

    digest = complete(ecr, repository, upload_id, *digests)

    assert digest == stored
    assert is_available(ecr, repository, stored)


def test_complete_layer_upload_again_gives_the_same_answer(ecr: ECRClient, repository: str) -> None:
    content = os.urandom(100)
    upload_id = start_upload(ecr, repository, content)
    complete(ecr, repository, upload_id, digest_of(content))

    again = complete(ecr, repository, upload_id, digest_of(content))

    assert again == digest_of(content)


def test_complete_layer_upload_again_with_another_digest_is_refused(
    ecr: ECRClient, repository: str
) -> None:
    content = os.urandom(100)
    upload_id = start_upload(ecr, repository, content)
    complete(ecr, repository, upload_id, digest_of(content))

    with pytest.raises(ecr.exceptions.InvalidLayerException):
        complete(ecr, repository, upload_id, digest_of(b"other"))


@pytest.mark.parametrize("times", [1, 2])
def test_complete_layer_upload_of_a_layer_that_is_there_says_so(
    ecr: ECRClient, repository: str, times: int
) -> None:
    content = os.urandom(100)
    push_layer(ecr, repository, content)
    upload_id = start_upload(ecr, repository, content)
    refusals = [_refusal(ecr, repository, upload_id, content) for _ in range(times)]

    message = (
        f"The layer with digest '{digest_of(content)}' already exists in the repository with name "
        f"'{repository}' in registry with id '{ACCOUNT}'"
    )
    assert refusals == [message] * times


def _refusal(ecr: ECRClient, repository: str, upload_id: str, content: bytes) -> str:
    with pytest.raises(ecr.exceptions.LayerAlreadyExistsException) as caught:
        complete(ecr, repository, upload_id, digest_of(content))
    return caught.value.response["Error"]["Message"]


def test_upload_that_is_complete_takes_no_more_parts(ecr: ECRClient, repository: str) -> None:
    content = os.urandom(MIN_PART)
    upload_id = start_upload(ecr, repository, content)
    complete(ecr, repository, upload_id, digest_of(content))

    with pytest.raises(ecr.exceptions.UploadNotFoundException):
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=MIN_PART,
            partLastByte=MIN_PART,
            layerPartBlob=b"x",
        )


@pytest.mark.parametrize("operation", ["UploadLayerPart", "CompleteLayerUpload"])
@pytest.mark.parametrize("place", ["another-upload", "another-repository", "another-region"])
def test_upload_is_good_in_its_place_only(
    server: Server, make_repository: Callable[[], str], operation: str, place: str
) -> None:
    ecr, elsewhere = server.ecr(), server.ecr(region="eu-west-1")
    here, there = make_repository(), make_repository()
    elsewhere.create_repository(repositoryName=here)
    upload_id, repository, client = {
        "another-upload": (str(uuid4()), here, ecr),
        "another-repository": (start_upload(ecr, there, b"x"), here, ecr),
        "another-region": (start_upload(ecr, here, b"x"), here, elsewhere),
    }[place]
    calls: dict[str, Callable[[], object]] = {
        "UploadLayerPart": lambda: client.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=1,
            partLastByte=1,
            layerPartBlob=b"x",
        ),
        "CompleteLayerUpload": lambda: complete(client, repository, upload_id, "sha256:00"),
    }

    with pytest.raises(client.exceptions.UploadNotFoundException) as caught:
        calls[operation]()

    assert caught.value.response["Error"]["Message"] == (
        f"The upload with id '{upload_id}' in the repository with name '{repository}' in registry "
        f"with id '{ACCOUNT}' could not be found"
    )


def test_upload_id_may_be_spelled_in_capitals(ecr: ECRClient, repository: str) -> None:
    upload_id = start_upload(ecr, repository, Blob(b"capital").content)

    digest = complete(ecr, repository, upload_id.upper(), digest_of(b"capital"))

    assert digest == digest_of(b"capital")
