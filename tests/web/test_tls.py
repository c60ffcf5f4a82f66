"""TLS: what is served over it, certificates that change under way, and pairs that are none."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.certificates import Pair, issue, make_authority
from tests.support.images import make_image
from tests.support.policies import deny, policy
from tests.support.registry import (
    KIB,
    MIB,
    finish_upload,
    forever,
    pull_blob,
    push_blob,
    push_image,
    some_bytes,
    start_upload,
    wait_until,
    workers_of,
)
from tests.support.server import REGION, SESSION, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

_NUMBERS = itertools.count(1)
ALL_WORKERS = range(24)  # that many connections meet each of two workers, but for 1 in 8 million


@dataclass(frozen=True)
class Pairs:
    """What servers show, first and later, and the authority that signed it."""

    authority: Pair
    first: Pair
    second: Pair


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    authority = make_authority(tmp_path_factory.mktemp("authority"))
    return Pairs(authority, issue(authority, "first"), issue(authority, "second"))


@pytest.fixture
def changing(tmp_path: Path, pairs: Pairs) -> Iterator[Server]:
    """A server whose certificate a test changes."""
    with changing_server(tmp_path, pairs) as running:
        yield running


@contextlib.contextmanager
def changing_server(folder: Path, pairs: Pairs) -> Iterator[Server]:
    """Run a server of two workers that finds its certificate behind the link `live`."""
    make_version(folder, pairs.first)
    live = Pair(folder / "live" / "tls.crt", folder / "live" / "tls.key")
    with running_server(folder / "data", "--workers", "2", env=settings(live)) as running:
        yield running


def make_version(folder: Path, pair: Pair) -> None:
    """Copy the pair into a new folder, and let the link `live` lead there from now on."""
    version = folder / pair.certificate.stem
    version.mkdir()
    shutil.copy(pair.certificate, version / "tls.crt")
    shutil.copy(pair.key, version / "tls.key")
    (folder / "link").symlink_to(version)
    (folder / "link").replace(folder / "live")


def settings(pair: Pair) -> dict[str, str]:
    return {"ECRATE_TLS_CERTIFICATE": str(pair.certificate), "ECRATE_TLS_KEY": str(pair.key)}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs) -> Iterator[Server]:
    """A server that speaks TLS."""
    data = tmp_path_factory.mktemp("secure") / "data"
    with running_server(data, env=settings(pairs.first)) as running:
        yield running


@pytest.fixture
def https(secure: Server, pairs: Pairs) -> Iterator[httpx.Client]:
    """A client that is logged in, and trusts the authority and nobody else."""
    with https_client(secure, pairs) as client:
        yield client


@pytest.fixture(scope="module")
def secure_ecr(secure: Server, pairs: Pairs) -> ECRClient:
    """A boto3 client over TLS."""
    return SESSION.client(
        "ecr",
        region_name=REGION,
        endpoint_url=f"https://localhost:{secure.port}",
        aws_access_key_id=secure.key_id,
        aws_secret_access_key=secure.secret,
        verify=str(pairs.authority.certificate),
    )


@pytest.fixture
def name(secure_ecr: ECRClient) -> str:
    """A new repository."""
    name = f"secure/repository-{next(_NUMBERS)}"
    secure_ecr.create_repository(repositoryName=name)
    return name


def https_client(server: Server, pairs: Pairs) -> httpx.Client:
    return httpx.Client(
        base_url=f"https://localhost:{server.port}",
        auth=(server.key_id, server.secret),
        verify=pairs.authority.context,
        timeout=30,
    )


def connect(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    with contextlib.ExitStack() as on_failure:
        on_failure.enter_context(plain)
        secured = context.wrap_socket(plain, server_hostname="localhost")
        on_failure.pop_all()
    return secured


def shown_serials(server: Server, pairs: Pairs) -> set[str]:
    """Give the serial numbers of the certificates that all workers show now."""
    serials = set()
    for _ in ALL_WORKERS:
        with connect(server, pairs.authority.context) as connection:
            certificate = connection.getpeercert()
            assert certificate is not None
            serials.add(str(certificate["serialNumber"]))
    return serials


def test_endpoint_of_the_data_directory_is_https(secure: Server) -> None:
    endpoint = (secure.data / "endpoint").read_text()

    assert endpoint == f"https://127.0.0.1:{secure.port}\n"


def test_challenge_names_https(secure: Server, pairs: Pairs) -> None:
    url = f"https://localhost:{secure.port}"

    answer = httpx.get(f"{url}/v2/", verify=pairs.authority.context)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith(f'Basic realm="{url}/"')


def test_plain_http_is_not_answered(secure: Server) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{secure.port}/healthz")


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(ssl.TLSVersion.TLSv1_2, id="1.2"),
        pytest.param(ssl.TLSVersion.TLSv1_3, id="1.3"),
    ],
)
def test_current_protocols_are_spoken(
    secure: Server, pairs: Pairs, version: ssl.TLSVersion
) -> None:
    context = pairs.authority.context
    context.minimum_version = context.maximum_version = version

    with connect(secure, context) as connection:
        assert connection.version() == version.name.replace("_", ".")


def test_old_protocols_are_refused(secure: Server, pairs: Pairs) -> None:
    context = pairs.authority.context
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # a client of today would not even ask
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(ssl.SSLError):
        connect(secure, context)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(0, id="nothing"),
        pytest.param(1, id="one-byte"),
        pytest.param(256 * KIB + 1, id="more-than-a-piece"),
        pytest.param(5 * MIB, id="several-pieces"),
    ],
)
def test_blob_comes_back_as_it_was_pushed(https: httpx.Client, name: str, size: int) -> None:
    digest = push_blob(https, name, some_bytes(size))

    assert pull_blob(https, name, digest) == some_bytes(size)


def test_blob_is_pushed_in_chunks(https: httpx.Client, name: str) -> None:
    content = some_bytes(3 * MIB)
    location = start_upload(https, name)
    for part in (content[: 2 * MIB], content[2 * MIB :]):
        answer = https.patch(location, content=part)
        assert answer.status_code == 202, answer.text

    done = finish_upload(https, location, content)

    assert done.status_code == 201
    assert pull_blob(https, name, done.headers["Docker-Content-Digest"]) == content


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param(0, 1, id="first-byte"),
        pytest.param(256 * KIB - 1, 256 * KIB + 1, id="across-pieces"),
        pytest.param(100, 2 * MIB - 100, id="many-pieces"),
        pytest.param(2 * MIB - 1, 2 * MIB, id="last-byte"),
    ],
)
def test_part_of_a_blob_comes_back(https: httpx.Client, name: str, start: int, stop: int) -> None:
    content = some_bytes(2 * MIB)
    digest = push_blob(https, name, content)

    part = https.get(f"/v2/{name}/blobs/{digest}", headers={"Range": f"bytes={start}-{stop - 1}"})

    assert part.status_code == 206
    assert part.content == content[start:stop]


def test_client_that_goes_away_in_a_pull_harms_nobody(
    https: httpx.Client, name: str, secure: Server
) -> None:
    digest = push_blob(https, name, some_bytes(8 * MIB))
    workers = {worker.pid for worker in workers_of(secure)}
    with https.stream("GET", f"/v2/{name}/blobs/{digest}") as answer:
        next(answer.iter_raw(1))

    pulled = pull_blob(https, name, digest)

    assert pulled == some_bytes(8 * MIB)
    assert {worker.pid for worker in workers_of(secure)} == workers


def test_download_url_leads_to_https(
    https: httpx.Client, name: str, secure_ecr: ECRClient, pairs: Pairs, secure: Server
) -> None:
    image = make_image(300 * KIB)
    push_image(https, name, image, "latest")

    url = secure_ecr.get_download_url_for_layer(
        repositoryName=name, layerDigest=image.layers[0].digest
    )["downloadUrl"]

    assert url.startswith(f"https://localhost:{secure.port}/layers/")
    assert httpx.get(url, verify=pairs.authority.context).content == image.layers[0].content


def overwrite(folder: Path, new: Pair) -> None:
    shutil.copy(new.key, folder / "live" / "tls.key")
    shutil.copy(new.certificate, folder / "live" / "tls.crt")


def rename_over(folder: Path, new: Pair) -> None:
    for source, name in ((new.certificate, "tls.crt"), (new.key, "tls.key")):
        shutil.copy(source, folder / "fresh")
        (folder / "fresh").replace(folder / "live" / name)


def overwrite_certificate(folder: Path, new: Pair) -> None:
    shutil.copy(new.certificate, folder / "live" / "tls.crt")


def overwrite_key(folder: Path, new: Pair) -> None:
    shutil.copy(new.key, folder / "live" / "tls.key")


def truncate(folder: Path, new: Pair) -> None:
    (folder / "live" / "tls.crt").write_bytes(new.certificate.read_bytes()[:100])


def remove(folder: Path, _: Pair) -> None:
    (folder / "live" / "tls.crt").unlink()


def wait_for_complaints(capfd: pytest.CaptureFixture[str], count: int) -> None:
    """Wait until that many workers have complained about the certificate."""
    told = ""
    for _ in forever():
        told += capfd.readouterr().err
        if told.count("cannot load the changed certificate yet") == count:
            return
    pytest.fail(f"the log says: {told}")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(overwrite, id="overwritten"),
        pytest.param(rename_over, id="renamed-over"),
        pytest.param(make_version, id="link-switched"),  # as certbot and Kubernetes do
    ],
)
def test_changed_certificate_is_taken_up_without_a_restart(
    changing: Server, pairs: Pairs, change: Callable[[Path, Pair], None]
) -> None:
    workers = {worker.pid for worker in workers_of(changing)}
    assert shown_serials(changing, pairs) == {pairs.first.serial}

    change(changing.data.parent, pairs.second)

    wait_until(lambda: shown_serials(changing, pairs) == {pairs.second.serial})
    assert {worker.pid for worker in workers_of(changing)} == workers


def test_open_connection_outlives_a_change(changing: Server, pairs: Pairs) -> None:
    context = pairs.authority.context
    connection = http.client.HTTPSConnection("localhost", changing.port, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        before = connection.sock

        overwrite(changing.data.parent, pairs.second)

        wait_until(lambda: shown_serials(changing, pairs) == {pairs.second.serial})
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        assert connection.sock is before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(overwrite_certificate, id="certificate-of-another-key"),
        pytest.param(overwrite_key, id="key-of-another-certificate"),
        pytest.param(truncate, id="cut-off"),
        pytest.param(remove, id="removed"),
    ],
)
def test_half_of_a_new_pair_changes_nothing(
    tmp_path: Path,
    pairs: Pairs,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Path, Pair], None],
) -> None:
    with changing_server(tmp_path, pairs) as server:
        change(tmp_path, pairs.second)
        wait_for_complaints(capfd, 2)

        half = shown_serials(server, pairs)
        overwrite(tmp_path, pairs.second)

        assert half == {pairs.first.serial}
        wait_until(lambda: shown_serials(server, pairs) == {pairs.second.serial})


def test_worker_starts_while_the_pair_is_half(
    tmp_path: Path, pairs: Pairs, capfd: pytest.CaptureFixture[str]
) -> None:
    with changing_server(tmp_path, pairs) as server:
        overwrite_certificate(tmp_path, pairs.second)
        wait_for_complaints(capfd, 2)
        first, second = workers_of(server)

        first.kill()

        wait_for_complaints(capfd, 1)
        assert shown_serials(server, pairs) == {pairs.first.serial}
        assert second in workers_of(server)


def refusal(data: Path, env: dict[str, str]) -> str:
    """Start a server that must not start, and give what it tells."""
    done = subprocess.run(
        [sys.executable, "-m", "ecrate", "serve", "--port", "0", "--data", str(data)],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # no terminal that could be asked for a password
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize(
    "name", [pytest.param("certificate", id="certificate"), pytest.param("key", id="key")]
)
def test_serve_refuses_half_of_the_settings(tmp_path: Path, pairs: Pairs, name: str) -> None:
    told = refusal(tmp_path, {f"ECRATE_TLS_{name.upper()}": str(getattr(pairs.first, name))})

    assert told == (
        "ecrate: settings 'tls_certificate' and 'tls_key' go together; "
        f"'tls_{name}' is set in the environment (ECRATE_TLS_{name.upper()})\n"
    )


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        pytest.param("first.pem", "second-key.pem", "key values mismatch", id="not-a-pair"),
        pytest.param("missing.pem", "first-key.pem", "No such file", id="no-certificate"),
        pytest.param("first.pem", "missing.pem", "No such file", id="no-key"),
        pytest.param("first-key.pem", "first.pem", "PEM", id="swapped"),
        pytest.param("empty.pem", "first-key.pem", "PEM", id="empty"),
        pytest.param(".", "first-key.pem", "", id="folder"),
        pytest.param("locked.pem", "locked-key.pem", "the key is encrypted", id="encrypted"),
    ],
)
def test_serve_refuses_what_is_no_pair(
    tmp_path: Path, pairs: Pairs, certificate: str, key: str, reason: str
) -> None:
    folder = pairs.authority.certificate.parent
    issue(pairs.authority, "locked", password="locked")
    (folder / "empty.pem").touch()
    pair = Pair(folder / certificate, folder / key)

    told = refusal(tmp_path, settings(pair))

    begin = f"ecrate: cannot use 'tls_certificate' {pair.certificate} with 'tls_key' {pair.key}: "
    assert told.startswith(begin)
    assert reason in told.removeprefix(begin)
    assert told.count("\n") == 1


def test_policy_may_insist_on_tls(https: httpx.Client, secure_ecr: ECRClient, name: str) -> None:
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    statement = deny("ecr:*", Principal="*", Condition=insecure)

    secure_ecr.set_repository_policy(repositoryName=name, policyText=policy(statement))

    digest = push_image(https, name, make_image(), "latest")
    (found,) = secure_ecr.describe_images(repositoryName=name)["imageDetails"]
    assert found["imageDigest"] == digest
