"""What one repository, account or region must not learn of another, or do to it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.images import MadeImage, digest_of, make_image
from tests.support.registry import (
    error_of,
    finish_upload,
    pull_blob,
    push_blob,
    push_blobs,
    push_image,
    put_manifest,
    some_bytes,
    start_upload,
)
from tests.support.server import Server
from tests.support.wire import Wire

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

OWNER = "111111111111"
STRANGER = "222222222222"
IMAGE = make_image(1000)

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def guarded(as_account: Callable[[str], Server]) -> str:
    """A repository of `OWNER` with `IMAGE` under the tag latest; `STRANGER` has its like."""
    name = f"guarded/images-{next(_NUMBERS)}"
    for account in (OWNER, STRANGER):
        server = as_account(account)
        server.ecr().create_repository(repositoryName=name)
    with as_account(OWNER).http() as http:
        push_image(http, name, IMAGE, "latest")
    return name


@pytest.fixture
def owner(as_account: Callable[[str], Server]) -> Server:
    return as_account(OWNER)


@pytest.fixture
def stranger(as_account: Callable[[str], Server]) -> Server:
    return as_account(STRANGER)


def at_host_of(server: Server, account: str) -> httpx.Client:
    """A client with the server's credentials that addresses the registry of `account`."""
    http = server.http()
    http.headers["Host"] = f"{account}.dkr.ecr.us-east-1.localhost:{server.port}"
    return http


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "manifests/latest", id="get-tag"),
        pytest.param("GET", f"manifests/{IMAGE.digest}", id="get-digest"),
        pytest.param("PUT", "manifests/latest", id="put-tag"),
        pytest.param("PUT", f"manifests/{IMAGE.digest}", id="put-digest"),
        pytest.param("DELETE", "manifests/latest", id="delete-tag"),
        pytest.param("DELETE", f"manifests/{IMAGE.digest}", id="delete-digest"),
        pytest.param("GET", "tags/list", id="tags"),
        pytest.param("GET", f"blobs/{IMAGE.config.digest}", id="get-blob"),
        pytest.param("POST", "blobs/uploads/", id="post"),
        pytest.param(
            "POST",
            f"blobs/uploads/?mount={IMAGE.config.digest}&from={{}}",
            id="mount",
        ),
        pytest.param("POST", f"blobs/uploads/?digest={digest_of(b'x')}", id="post-digest"),
    ],
)
def test_repository_of_another_account_does_not_exist(
    stranger: Server, owner: Server, guarded: str, method: str, path: str
) -> None:
    content = IMAGE.manifest if method == "PUT" else ""
    with at_host_of(stranger, OWNER) as http:
        there, missing = (
            http.request(method, f"/v2/{name}/{path.format(guarded)}", content=content)
            for name in (guarded, "guarded/nothing")
        )

    assert error_of(there)[:2] == (404, "NAME_UNKNOWN")
    assert error_of(missing)[2] == error_of(there)[2].replace(guarded, "guarded/nothing")
    with owner.http() as http:
        assert http.get(f"/v2/{guarded}/manifests/latest").text == IMAGE.manifest


@pytest.mark.parametrize("length", [1_000, 4_000_000])
def test_manifest_for_another_account_is_refused_before_it_is_read(
    stranger: Server, guarded: str, length: int
) -> None:
    headers: dict[str, str | int] = {
        "Host": f"{OWNER}.dkr.ecr.us-east-1.localhost:{stranger.port}",
        "Content-Length": length,
        "Expect": "100-continue",
    }
    with Wire(stranger) as wire:
        answer = wire.ask("PUT", f"/v2/{guarded}/manifests/latest", headers)

    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


def test_catalog_of_another_account_is_denied(stranger: Server, guarded: str) -> None:
    with at_host_of(stranger, OWNER) as http:
        answer = http.get("/v2/_catalog")

    assert error_of(answer)[:2] == (403, "DENIED")
    assert guarded not in answer.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"blobs/{IMAGE.config.digest}", id="blob"),
        pytest.param(f"manifests/{IMAGE.digest}", id="manifest"),
        pytest.param("manifests/latest", id="tag"),
    ],
)
def test_repository_of_the_same_name_has_nothing_of_the_other(
    owner: Server, stranger: Server, guarded: str, method: str, path: str
) -> None:
    with owner.http() as http:
        own = http.request(method, f"/v2/{guarded}/{path}")
    with stranger.http() as http:
        other = http.request(method, f"/v2/{guarded}/{path}")

    assert (own.status_code, other.status_code) == (200, 404)


def test_mount_does_not_tell_what_another_account_has(stranger: Server, guarded: str) -> None:
    digests = (IMAGE.config.digest, digest_of(b"nobody has this"))
    with stranger.http() as http:
        answers = [
            http.post(
                f"/v2/{guarded}/blobs/uploads/",
                params={"mount": digest, **source},
            )
            for digest in digests
            for source in ({"from": guarded}, {}, {"from": "no/such"})
        ]

    assert [answer.status_code for answer in answers] == [202] * 6
    pattern = rf"/v2/{guarded}/blobs/uploads/[0-9a-f-]{{36}}"
    assert all(re.fullmatch(pattern, answer.headers["Location"]) for answer in answers)


def test_push_of_known_bytes_takes_having_them(stranger: Server, guarded: str) -> None:
    with stranger.http() as http:
        claimed = http.put(
            start_upload(http, guarded), params={"digest": IMAGE.config.digest}, content=b"guess"
        )
        answer = http.head(f"/v2/{guarded}/blobs/{IMAGE.config.digest}")

    assert error_of(claimed)[:2] == (400, "DIGEST_INVALID")
    assert answer.status_code == 404


def test_manifest_of_known_digests_takes_having_the_layers(stranger: Server, guarded: str) -> None:
    with stranger.http() as http:
        answer = put_manifest(http, guarded, "stolen", IMAGE.manifest)

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")


EACH_CALL = pytest.mark.parametrize(
    ("method", "query"),
    [("GET", ""), ("PATCH", ""), ("PUT", f"?digest={digest_of(b'mine')}"), ("DELETE", "")],
    ids=["get", "patch", "put", "delete"],
)


@EACH_CALL
def test_upload_of_another_account_does_not_exist(
    owner: Server, stranger: Server, guarded: str, method: str, query: str
) -> None:
    with owner.http() as mine, stranger.http() as other:
        upload = start_upload(mine, guarded)

        answer = other.request(method, upload + query, content=b"theirs")

        assert error_of(answer)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
        mine.patch(upload, content=b"mine")
        assert finish_upload(mine, upload, b"mine").status_code == 201


@EACH_CALL
def test_upload_of_another_repository_does_not_exist(
    http: httpx.Client, make_repository: Callable[[], str], method: str, query: str
) -> None:
    first, second = make_repository(), make_repository()
    upload = start_upload(http, first)

    answer = http.request(method, upload.replace(first, second) + query, content=b"theirs")

    assert error_of(answer)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
    http.patch(upload, content=b"mine")
    assert finish_upload(http, upload, b"mine").status_code == 201


@EACH_CALL
def test_upload_of_another_region_does_not_exist(
    server: Server, http: httpx.Client, repository: str, method: str, query: str
) -> None:
    server.ecr(region="eu-north-7").create_repository(repositoryName=repository)
    upload = start_upload(http, repository)
    there = {"Host": f"000000000000.dkr.ecr.eu-north-7.localhost:{server.port}"}

    answer = http.request(method, upload + query, content=b"theirs", headers=there)

    assert error_of(answer)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
    assert http.get(upload).headers["Range"] == "0-0"


@EACH_CALL
def test_upload_ends_with_its_repository(
    http: httpx.Client, ecr: ECRClient, repository: str, method: str, query: str
) -> None:
    upload = start_upload(http, repository)
    http.patch(upload, content=b"mine")
    ecr.delete_repository(repositoryName=repository)
    ecr.create_repository(repositoryName=repository)

    answer = http.request(method, upload + query)

    assert error_of(answer)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_completed_upload_ends_with_its_repository(
    http: httpx.Client, ecr: ECRClient, repository: str
) -> None:
    upload = start_upload(http, repository)
    http.put(upload, params={"digest": digest_of(b"mine")}, content=b"mine")
    ecr.delete_repository(repositoryName=repository)
    ecr.create_repository(repositoryName=repository)

    answer = finish_upload(http, upload, b"mine")

    assert error_of(answer)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
    assert http.head(f"/v2/{repository}/blobs/{digest_of(b'mine')}").status_code == 404


def test_blob_gone_from_one_repository_is_not_read_through_another(
    http: httpx.Client, ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    content = some_bytes(10_000, "gone")
    kept, recreated = make_repository(), make_repository()
    digest = push_blob(http, kept, content)
    push_blob(http, recreated, content)
    pull_blob(http, recreated, digest)
    ecr.delete_repository(repositoryName=recreated)
    ecr.create_repository(repositoryName=recreated)
    pull_blob(http, kept, digest)

    answers = [
        http.request(method, f"/v2/{recreated}/blobs/{digest}") for method in ("HEAD", "GET")
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert pull_blob(http, kept, digest) == content


def push_to_both(http: httpx.Client, repositories: list[str], image: MadeImage) -> None:
    for repository in repositories:
        push_image(http, repository, image, "latest")


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_manifest_deleted_in_one_repository_is_not_read_through_another(
    http: httpx.Client, make_repository: Callable[[], str], by: str
) -> None:
    image = make_image()
    kept, emptied = repositories = [make_repository(), make_repository()]
    push_to_both(http, repositories, image)
    reference = {"tag": "latest", "digest": image.digest}[by]
    before = [http.get(f"/v2/{one}/manifests/{reference}").status_code for one in repositories]
    http.delete(f"/v2/{emptied}/manifests/{image.digest}")
    http.get(f"/v2/{kept}/manifests/{reference}")

    after = [http.get(f"/v2/{one}/manifests/{reference}").status_code for one in repositories]

    assert before == [200, 200]
    assert after == [200, 404]


def test_manifest_pushed_again_after_its_deletion_is_there(
    http: httpx.Client, repository: str
) -> None:
    image = make_image()
    push_image(http, repository, image, "latest")
    http.get(f"/v2/{repository}/manifests/latest")
    http.delete(f"/v2/{repository}/manifests/{image.digest}")

    push_blobs(http, repository, image)
    put_manifest(http, repository, "latest", image.manifest)

    assert http.get(f"/v2/{repository}/manifests/latest").text == image.manifest
