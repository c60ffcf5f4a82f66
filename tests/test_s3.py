"""A server on an S3 store, through both doors."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from tests.support.images import digest_of
from tests.support.proxy import Proxy, once, running_proxy
from tests.support.registry import finish_upload, pull_blob, push_blob, some_bytes, start_upload
from tests.support.s3 import running_on_s3, url_of
from tests.support.seaweed import KEY, S3Server
from tests.support.server import Server, plain_environment

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

pytestmark = pytest.mark.s3

MIB = 1024 * 1024
CONTENT = some_bytes(27 * MIB + 5, "on S3")
DIGEST = digest_of(CONTENT)
QUOTED = f'"{DIGEST}"'
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def on_s3(s3_server: S3Server) -> Iterator[Server]:
    """A server that sends its clients to the store."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_on_s3(Path(folder) / "data", s3_server.make_address()) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def between(s3_server: S3Server) -> Iterator[Server]:
    """A server that passes the store's bytes on."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_on_s3(
            Path(folder) / "data", s3_server.make_address(), ECRATE_BLOB_REDIRECTS="false"
        ) as server,
    ):
        yield server


def make_repository(ecr: ECRClient) -> str:
    name = f"s3/repository-{next(_NUMBERS)}"
    ecr.create_repository(repositoryName=name)
    return name


@pytest.fixture
def ecr(on_s3: Server) -> ECRClient:
    return on_s3.ecr()


@pytest.fixture
def repository(ecr: ECRClient) -> str:
    return make_repository(ecr)


@pytest.fixture
def http(on_s3: Server) -> Iterator[httpx.Client]:
    """A client that follows redirects, as all registry clients do."""
    with on_s3.http() as client:
        client.follow_redirects = True
        yield client


@pytest.fixture(scope="module")
def passed_on(between: Server) -> Iterator[tuple[httpx.Client, str]]:
    """A client of the server that passes bytes on, and the path of `CONTENT` there."""
    name = make_repository(between.ecr())
    with between.http() as client:
        push_blob(client, name, CONTENT)
        yield client, f"/v2/{name}/blobs/{DIGEST}"


def test_layer_goes_in_by_parts_and_out_of_the_store(
    ecr: ECRClient, repository: str, s3_server: S3Server
) -> None:
    upload = ecr.initiate_layer_upload(repositoryName=repository)
    upload_id, size = upload["uploadId"], upload["partSize"]
    for first in range(0, len(CONTENT), size):
        part = CONTENT[first : first + size]
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
    ecr.complete_layer_upload(repositoryName=repository, uploadId=upload_id, layerDigests=[DIGEST])

    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=DIGEST)[
        "downloadUrl"
    ]

    assert url.startswith(f"{s3_server.endpoint}/")
    assert httpx.get(url).content == CONTENT


@pytest.mark.parametrize(
    "chunk", [pytest.param(3 * MIB, id="tails"), pytest.param(9 * MIB, id="parts")]
)
def test_blob_pushed_in_chunks_is_pulled(http: httpx.Client, repository: str, chunk: int) -> None:
    location = start_upload(http, repository)
    for first in range(0, len(CONTENT), chunk):
        piece = CONTENT[first : first + chunk]
        sent = http.patch(
            location,
            content=piece,
            headers={"Content-Range": f"{first}-{first + len(piece) - 1}"},
        )
        assert sent.status_code == 202, sent.text
    assert http.get(location).headers["Range"] == f"0-{len(CONTENT) - 1}"

    assert finish_upload(http, location, CONTENT).status_code == 201

    assert pull_blob(http, repository, DIGEST) == CONTENT


@pytest.mark.parametrize("size", [0, 1, 20 * MIB])
def test_blob_pushed_as_a_stream_is_pulled(http: httpx.Client, repository: str, size: int) -> None:
    content = CONTENT[:size]
    location = start_upload(http, repository)
    http.patch(location, content=iter([content]))

    finish_upload(http, location, content)

    assert pull_blob(http, repository, digest_of(content)) == content


def test_get_blob_leads_to_the_store(
    http: httpx.Client, repository: str, s3_server: S3Server
) -> None:
    digest = push_blob(http, repository, b"content")
    http.follow_redirects = False

    answer = http.get(f"/v2/{repository}/blobs/{digest}")

    assert answer.status_code == 307
    assert answer.headers["Location"].startswith(f"{s3_server.endpoint}/")
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.content == b""


def test_get_blob_of_another_repository_leads_nowhere(
    http: httpx.Client, ecr: ECRClient, repository: str
) -> None:
    digest = push_blob(http, repository, b"content of one repository")

    answer = http.get(f"/v2/{make_repository(ecr)}/blobs/{digest}")

    assert answer.status_code == 404


def test_blob_is_described_by_us(http: httpx.Client, repository: str) -> None:
    path = f"/v2/{repository}/blobs/{push_blob(http, repository, b'content')}"
    http.follow_redirects = False

    described, known = http.head(path), http.get(path, headers={"If-None-Match": "*"})

    assert (described.status_code, described.headers["Content-Length"]) == (200, "7")
    assert known.status_code == 304


@pytest.mark.parametrize(
    ("headers", "status", "span"),
    [
        pytest.param({}, 200, slice(None), id="all"),
        pytest.param({"Range": "bytes=1-3"}, 206, slice(1, 4), id="range"),
        pytest.param({"Range": f"bytes={26 * MIB}-"}, 206, slice(26 * MIB, None), id="rest"),
        pytest.param({"Range": "bytes=-7"}, 206, slice(-7, None), id="suffix"),
        pytest.param({"Range": "bytes=99999999-"}, 416, slice(0), id="outside"),
        pytest.param({"If-None-Match": QUOTED}, 304, slice(0), id="known"),
        pytest.param({"If-Range": '"x"', "Range": "bytes=1-3"}, 200, slice(None), id="changed"),
    ],
)
def test_bytes_are_passed_on_where_clients_cannot_reach_the_store(
    passed_on: tuple[httpx.Client, str], headers: dict[str, str], status: int, span: slice
) -> None:
    client, path = passed_on

    answer = client.get(path, headers=headers)

    assert (answer.status_code, answer.headers["ETag"]) == (status, QUOTED)
    assert answer.content == CONTENT[span]


def test_blob_of_no_bytes_is_passed_on(between: Server) -> None:
    name = make_repository(between.ecr())
    with between.http() as client:
        digest = push_blob(client, name, b"")

        assert pull_blob(client, name, digest) == b""


def test_client_that_goes_away_does_not_matter(passed_on: tuple[httpx.Client, str]) -> None:
    client, path = passed_on
    for _ in range(20):
        with client.stream("GET", path) as answer:
            next(answer.iter_raw(1024))

    answer = client.get(path)

    assert answer.content == CONTENT


def test_download_url_leads_to_us_where_clients_cannot_reach_the_store(
    between: Server, passed_on: tuple[httpx.Client, str]
) -> None:
    _, path = passed_on
    name = path.split("/blobs/")[0].removeprefix("/v2/")

    url = between.ecr().get_download_url_for_layer(repositoryName=name, layerDigest=DIGEST)[
        "downloadUrl"
    ]

    assert url.startswith(f"{between.endpoint}/layers/")
    assert httpx.get(url, headers={"Range": "bytes=0-3"}).content == CONTENT[:4]
    assert httpx.head(url).headers["Content-Length"] == str(len(CONTENT))


@dataclass
class Away:
    """A server whose way to the store is gone, and a blob that it stored before."""

    server: Server
    proxy: Proxy
    name: str
    digest: str


@pytest.fixture(scope="module")
def disturbed(s3_server: S3Server) -> Iterator[Away]:
    """A server whose way to the store can be disturbed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_proxy(s3_server.port) as proxy,
        running_on_s3(
            Path(folder) / "data",
            s3_server.make_address(endpoint=proxy.endpoint),
            ECRATE_BLOB_REDIRECTS="false",
        ) as server,
    ):
        name = make_repository(server.ecr())
        with server.http() as client:
            digest = push_blob(client, name, CONTENT[:MIB])
        yield Away(server, proxy, name, digest)


@pytest.fixture
def away(disturbed: Away) -> Iterator[Away]:
    """The same while the store cannot be reached."""
    disturbed.proxy.is_away = True
    yield disturbed
    disturbed.proxy.is_away = False


def test_push_without_the_store_is_told_to_come_back(away: Away) -> None:
    with away.server.http() as client:
        location = start_upload(client, away.name)

        answer = client.put(location, params={"digest": digest_of(b"x")}, content=b"x")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["errors"][0]["message"] == (
        "The server cannot reach its storage at the moment. Try again."
    )


def test_upload_layer_part_without_the_store_is_a_server_exception(away: Away) -> None:
    ecr = away.server.ecr()
    upload_id = ecr.initiate_layer_upload(repositoryName=away.name)["uploadId"]

    with pytest.raises(ClientError) as caught:
        ecr.upload_layer_part(
            repositoryName=away.name,
            uploadId=upload_id,
            partFirstByte=0,
            partLastByte=6,
            layerPartBlob=b"content",
        )

    response = caught.value.response
    assert response["Error"]["Code"] == "ServerException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_blob_is_there_while_the_store_is_away(away: Away) -> None:
    path = f"/v2/{away.name}/blobs/{away.digest}"
    with away.server.http() as client:
        described, sent = client.head(path), client.get(path)

    assert (described.status_code, sent.status_code) == (200, 503)


def test_server_goes_on_once_the_store_is_back(away: Away) -> None:
    away.proxy.is_away = False

    with away.server.http() as client:
        assert pull_blob(client, away.name, away.digest) == CONTENT[:MIB]
        assert push_blob(client, away.name, b"more")


def test_answer_that_the_store_breaks_off_is_not_taken_for_whole(disturbed: Away) -> None:
    disturbed.proxy.cuts = once("GET")
    path = f"/v2/{disturbed.name}/blobs/{disturbed.digest}"
    with disturbed.server.http() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)

        assert client.get(path).content == CONTENT[:MIB]


@pytest.mark.timeout(3600)
def test_long_stream_takes_little_memory(between: Server) -> None:
    count = int(os.environ.get("ECRATE_STREAM_MIB", "160"))  # 5120 to be sure
    piece, hasher, received = CONTENT[:MIB], hashlib.sha256(), hashlib.sha256()
    for _ in range(count):
        hasher.update(piece)
    name, digest = make_repository(between.ecr()), f"sha256:{hasher.hexdigest()}"
    before = memory_of(between)
    with between.http() as client:
        location = start_upload(client, name)
        sent = client.patch(location, content=itertools.repeat(piece, count), timeout=3600)
        peak = memory_of(between)
        stored = client.put(location, params={"digest": digest}, timeout=3600)
        with client.stream("GET", f"/v2/{name}/blobs/{digest}") as answer:
            for data in answer.iter_raw():
                received.update(data)

    assert (sent.status_code, stored.status_code) == (202, 201)
    assert received.hexdigest() == hasher.hexdigest()
    # Two parts of 25 MiB, botocore, and what the allocators keep.
    assert peak - before < 112 * MIB
    assert memory_of(between) - before < 112 * MIB


def memory_of(server: Server) -> int:
    """Give the bytes that the server's processes have of their own."""
    parent = psutil.Process(server.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    return sum(process.memory_full_info().uss for process in processes)


def test_store_of_another_database_stops_the_start(s3_server: S3Server, tmp_path: Path) -> None:
    address = s3_server.make_address()
    with running_on_s3(tmp_path / "one", address):
        pass
    with running_on_s3(tmp_path / "one", address):
        pass

    code, said = refusal(tmp_path / "two", ECRATE_BLOBS=url_of(address))

    assert code == 2
    assert said.startswith(f"ecrate: cannot use 'blobs' {url_of(address)}: they are those of ano")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"ECRATE_BLOBS": "{0}&acl=x"},
            "cannot use 'blobs' {0}&acl=x: unknown parameter 'acl'; known are endpoint, profile, "
            "public_endpoint, region, style",
            id="parameter",
        ),
        pytest.param(
            {"ECRATE_S3_SECRET_ACCESS_KEY": ""},
            "settings 's3_access_key_id' and 's3_secret_access_key' go together",
            id="half-a-key",
        ),
        pytest.param(
            {"ECRATE_S3_SECRET_ACCESS_KEY": "wrong"},
            "cannot use 'blobs' {0}: ListObjectsV2: SignatureDoesNotMatch, The request signature "
            "we calculated does not match the signature you provided. Check your key and signing "
            "method.",
            id="secret",
        ),
    ],
)
def test_store_that_cannot_be_used_stops_the_start_with_one_line(
    s3_server: S3Server, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    url = url_of(s3_server.make_address())
    settings = {name: value.format(url) for name, value in change.items()}

    code, told = refusal(tmp_path, **{"ECRATE_BLOBS": url} | settings)

    what, where = told.split("; '", 1)
    assert (code, what) == (2, f"ecrate: {said.format(url)}")
    assert "is set in the environment (ECRATE_" in where
    assert where.count("\n") == 1


def refusal(data: Path, **settings: str) -> tuple[int, str]:
    """Start a server that does not start; give its exit code and what it said."""
    stopped = subprocess.run(
        [sys.executable, "-m", "ecrate", "serve", "--port", "0", "--data", str(data)],
        env={
            **plain_environment(),
            "ECRATE_S3_ACCESS_KEY_ID": KEY.key_id,
            "ECRATE_S3_SECRET_ACCESS_KEY": KEY.secret,
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return stopped.returncode, stopped.stderr
