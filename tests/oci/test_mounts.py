"""Blobs mounted from another repository: from where the caller may pull, and nowhere else."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx
import pytest

from tests.support.images import digest_of, make_image
from tests.support.policies import allow, deny, open_to_all, policy
from tests.support.principals import make_user
from tests.support.registry import (
    error_of,
    files_of,
    finish_upload,
    pull_blob,
    push_blob,
    push_image,
    put_manifest,
    some_bytes,
    wait_until,
)
from tests.support.server import Server, running_server
from tests.support.workers import ask_each_worker

if TYPE_CHECKING:
    from types_boto3_ecr.type_defs import EncryptionConfigurationTypeDef

CONTENT = some_bytes(5000, "mounts")
DIGEST = digest_of(CONTENT)
UNKNOWN = "sha256:" + "0" * 64
OWNER, STRANGER = "111111111111", "222222222222"


def mount(
    http: httpx.Client,
    repository: str,
    digest: str,
    source: str | None = None,
    host: str | None = None,
) -> httpx.Response:
    """Ask for a mount, from `source` or from anywhere."""
    parameters = {"mount": digest} if source is None else {"mount": digest, "from": source}
    headers = {} if host is None else {"Host": host}
    path = f"/v2/{repository}/blobs/uploads/"
    return http.post(path, params=parameters, headers=headers)


def has(http: httpx.Client, repository: str, digest: str) -> bool:
    return http.head(f"/v2/{repository}/blobs/{digest}").status_code == 200


def look_of(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Give all of an answer that does not differ from request to request."""
    upload = answer.headers.get("Docker-Upload-UUID", "no upload")
    varying = {"date", "x-request-id", "docker-upload-uuid"}
    headers = {
        name: value.replace(upload, "<upload>")
        for name, value in answer.headers.items()
        if name not in varying
    }
    return answer.status_code, headers, answer.content


def start(http: httpx.Client, repository: str, host: str | None = None) -> httpx.Response:
    """Begin an upload without any mount."""
    headers = {} if host is None else {"Host": host}
    return http.post(f"/v2/{repository}/blobs/uploads/", headers=headers)


@pytest.fixture
def source(http: httpx.Client, make_repository: Callable[[], str]) -> str:
    """A repository with `CONTENT`."""
    name = make_repository()
    push_blob(http, name, CONTENT)
    return name


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again"])
def test_mount_gives_the_repository_the_blob(
    http: httpx.Client, source: str, repository: str, times: int
) -> None:
    before = has(http, repository, DIGEST)

    answers = [mount(http, repository, DIGEST, source) for _ in range(times)]

    assert not before
    assert [answer.status_code for answer in answers] == [201] * times
    assert answers[-1].headers["Location"] == f"/v2/{repository}/blobs/{DIGEST}"
    assert answers[-1].headers["Docker-Content-Digest"] == DIGEST
    assert "Docker-Upload-UUID" not in answers[-1].headers
    assert pull_blob(http, repository, DIGEST) == CONTENT


def test_mount_holds_on_every_worker_at_once(crowd: Server, crowded: str) -> None:
    crowd.ecr().create_repository(repositoryName=f"{crowded}-source")
    path = f"/v2/{crowded}/blobs/{DIGEST}"
    with crowd.http() as http:
        push_blob(http, f"{crowded}-source", CONTENT)
        before = ask_each_worker(crowd, "GET", path)

        mount(http, crowded, DIGEST, f"{crowded}-source")

    assert [answer.status for answer in before] == [404] * 4
    assert [answer.body for answer in ask_each_worker(crowd, "GET", path)] == [CONTENT] * 4


def test_mount_finds_a_source_by_itself(http: httpx.Client, source: str, repository: str) -> None:
    answer = mount(http, repository, DIGEST)

    assert answer.status_code == 201
    assert has(http, source, DIGEST)
    assert has(http, repository, DIGEST)


def test_mount_from_the_repository_itself(http: httpx.Client, source: str) -> None:
    answer = mount(http, source, DIGEST, source)

    assert answer.status_code == 201


def test_mounted_layer_serves_for_an_image(
    http: httpx.Client, make_repository: Callable[[], str], repository: str
) -> None:
    image, origin = make_image(), make_repository()
    push_image(http, origin, image)
    mounted = [mount(http, repository, blob.digest, origin) for blob in image.blobs]

    answer = put_manifest(http, repository, "latest", image.manifest)

    assert [one.status_code for one in mounted] == [201, 201]
    assert answer.status_code == 201


def test_mount_of_a_sha512_blob(
    http: httpx.Client, make_repository: Callable[[], str], repository: str
) -> None:
    origin, digest = make_repository(), "sha512:" + hashlib.sha512(CONTENT).hexdigest()
    path = f"/v2/{origin}/blobs/uploads/"
    pushed = http.post(path, params={"digest": digest}, content=CONTENT)

    answer = mount(http, repository, digest, origin)

    assert pushed.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert http.get(f"/v2/{repository}/blobs/{digest}").content == CONTENT


@pytest.mark.parametrize(
    ("digest", "origin"),
    [
        pytest.param(UNKNOWN, "{source}", id="no-such-layer"),
        pytest.param(UNKNOWN, None, id="no-such-layer-anywhere"),
        pytest.param(DIGEST, "{empty}", id="layer-is-elsewhere"),
        pytest.param(DIGEST, "no/such/repository", id="no-such-repository"),
        pytest.param(DIGEST, "", id="no-name"),
        pytest.param(DIGEST, "{source}/", id="malformed-name"),
        pytest.param(DIGEST, "../{source}", id="traversal"),
        pytest.param(DIGEST, "{source}\0", id="nul"),
        pytest.param(DIGEST, "127.0.0.1/{source}", id="with-host"),
        pytest.param(DIGEST, "x" * 5000, id="long-name"),
    ],
)
def test_mount_of_what_is_not_there_begins_an_upload(
    http: httpx.Client,
    source: str,
    make_repository: Callable[[], str],
    digest: str,
    origin: str | None,
) -> None:
    empty, target = make_repository(), make_repository()
    named = None if origin is None else origin.format(source=source, empty=empty)

    answer = mount(http, target, digest, named)

    assert look_of(answer) == look_of(start(http, target))
    assert answer.status_code == 202
    assert not has(http, target, digest)


def test_upload_that_a_mount_began_can_be_finished(http: httpx.Client, repository: str) -> None:
    content = some_bytes(100, "never stored before")
    location = mount(http, repository, digest_of(content), "no/such").headers["Location"]
    http.patch(location, content=content)

    answer = finish_upload(http, location, content)

    assert answer.status_code == 201
    assert pull_blob(http, repository, digest_of(content)) == content


@pytest.mark.parametrize("digest", ["", "latest", "sha256:0", DIGEST.upper(), "md5:" + "0" * 32])
def test_mount_refuses_what_is_no_digest(
    http: httpx.Client, source: str, repository: str, digest: str
) -> None:
    answer = mount(http, repository, digest, source)

    assert error_of(answer)[:2] == (400, "DIGEST_INVALID")


def test_mount_needs_a_repository_to_mount_to(http: httpx.Client, source: str) -> None:
    answer = mount(http, "no/such", DIGEST, source)

    assert error_of(answer)[:2] == (404, "NAME_UNKNOWN")


@pytest.fixture(scope="module")
def owner(as_account: Callable[[str], Server]) -> Server:
    """An account whose repository `mounts/owned` has `CONTENT`."""
    server = as_account(OWNER)
    server.ecr().create_repository(repositoryName="mounts/owned")
    with server.http() as http:
        push_blob(http, "mounts/owned", CONTENT)
    return server


@pytest.fixture(scope="module")
def stranger(as_account: Callable[[str], Server]) -> Server:
    """Another account; its repository `mounts/target` is empty."""
    server = as_account(STRANGER)
    server.ecr().create_repository(repositoryName="mounts/target")
    return server


def host_of(account: str, server: Server) -> str:
    return f"{account}.dkr.ecr.us-east-1.localhost:{server.port}"


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("mounts/owned", id="its-name"),
        pytest.param("111111111111/mounts/owned", id="with-account"),
        pytest.param("111111111111.dkr.ecr.us-east-1.localhost/mounts/owned", id="with-host"),
        pytest.param(None, id="anywhere"),
    ],
)
@pytest.mark.parametrize("host", [STRANGER, None], ids=["registry-host", "plain-host"])
def test_mount_from_another_account_looks_as_if_nothing_were_there(
    owner: Server, stranger: Server, origin: str | None, host: str | None
) -> None:
    name = None if host is None else host_of(host, stranger)
    with owner.http() as own, stranger.http() as http:
        answer = mount(http, "mounts/target", DIGEST, origin, name)
        missing = mount(http, "mounts/target", UNKNOWN, "no/such", name)

        assert has(own, "mounts/owned", DIGEST)
        assert not has(http, "mounts/target", DIGEST)
        assert look_of(answer) == look_of(missing) == look_of(start(http, "mounts/target", name))


@pytest.mark.usefixtures("owner")
def test_mount_into_another_account_looks_as_if_nothing_were_there(stranger: Server) -> None:
    host, names = host_of(OWNER, stranger), ("mounts/owned", "mounts/none")
    with stranger.http() as http:
        answers = [mount(http, name, DIGEST, "mounts/owned", host) for name in names]

    codes = [error_of(answer)[:2] for answer in answers]
    texts = [error_of(answer)[2].replace(names[1], names[0]) for answer in answers]
    assert codes == [(404, "NAME_UNKNOWN")] * 2
    assert texts[0] == texts[1]


def test_mount_from_another_region_looks_as_if_nothing_were_there(
    server: Server, http: httpx.Client, source: str
) -> None:
    host = f"000000000000.dkr.ecr.eu-west-1.localhost:{server.port}"
    server.ecr(region="eu-west-1").create_repository(repositoryName=source)

    answers = mount(http, source, DIGEST, source, host), mount(http, source, DIGEST, None, host)

    assert [answer.status_code for answer in answers] == [202, 202]


def arn_of(repository: str) -> str:
    return f"arn:aws:ecr:us-east-1:000000000000:repository/{repository}"


@pytest.mark.parametrize("is_named", [True, False], ids=["by-name", "anywhere"])
@pytest.mark.parametrize(
    ("action", "status"),
    [("ecr:GetDownloadUrlForLayer", 202), ("ecr:BatchDeleteImage", 201)],
    ids=["may-not-pull", "may-pull"],
)
def test_mount_takes_the_right_to_pull_the_source(
    server: Server, make_repository: Callable[[], str], action: str, status: int, *, is_named: bool
) -> None:
    source, target, user = make_repository(), make_repository(), f"user-{uuid.uuid4()}"
    content = some_bytes(1000, user)
    rights = policy(allow("ecr:*", Resource="*"), deny(action, Resource=arn_of(source)))
    guest = make_user(server, user, rights)
    with server.http() as http:
        digest = push_blob(http, source, content)

    with guest.http() as http:
        answer = mount(http, target, digest, source if is_named else None)

        assert answer.status_code == status
        assert has(http, target, digest) == (status == 201)
        assert status == 201 or look_of(answer) == look_of(start(http, target))


def test_mount_takes_the_right_to_push(
    server: Server, source: str, make_repository: Callable[[], str]
) -> None:
    target, user = make_repository(), f"user-{uuid.uuid4()}"
    rights = policy(
        allow("ecr:*", Resource="*"), deny("ecr:InitiateLayerUpload", Resource=arn_of(target))
    )
    with make_user(server, user, rights).http() as http:
        answer = mount(http, target, DIGEST, source)

        assert error_of(answer)[:2] == (403, "DENIED")
        assert not has(http, target, DIGEST)


@pytest.fixture(scope="module")
def public_server() -> Iterator[Server]:
    """A server that lets the nameless pull; `mounts/source` has `CONTENT`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env={"ECRATE_ANONYMOUS_PULL": "true"}) as running,
        running.http() as http,
    ):
        running.ecr().create_repository(repositoryName="mounts/source")
        running.ecr().create_repository(repositoryName="mounts/target")
        open_to_all(running.ecr(), "mounts/source")
        open_to_all(running.ecr(), "mounts/target")
        push_blob(http, "mounts/source", CONTENT)
        yield running


@pytest.fixture
def nameless(public_server: Server) -> Iterator[httpx.Client]:
    """A client that may pull and has no name."""
    with httpx.Client(base_url=public_server.endpoint) as http:
        token = http.get("/v2/token").json()["token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


@pytest.mark.parametrize("origin", ["mounts/source", "no/such", None])
@pytest.mark.parametrize("target", ["mounts/target", "no/such/target"])
def test_mount_takes_a_name(
    public_server: Server, nameless: httpx.Client, target: str, origin: str | None
) -> None:
    answer = mount(nameless, target, DIGEST, origin)

    assert pull_blob(nameless, "mounts/source", DIGEST) == CONTENT
    assert not has(nameless, "mounts/target", DIGEST)
    assert error_of(answer)[:2] == (401, "UNAUTHORIZED")
    assert f":000000000000:repository/{target} " in error_of(answer)[2]
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="{public_server.endpoint}/v2/token",service="ecr.amazonaws.com",'
        f'scope="repository:{target}:pull,push"'
    )


KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-1111-1111-1111-111111111111"
OTHER_KEY = "arn:aws:kms:us-east-1:000000000000:key/22222222-2222-2222-2222-222222222222"
PLAIN: EncryptionConfigurationTypeDef = {"encryptionType": "AES256"}


def with_key(key: str, kind: Literal["KMS", "KMS_DSSE"] = "KMS") -> EncryptionConfigurationTypeDef:
    return {"encryptionType": kind, "kmsKey": key}


@pytest.mark.parametrize(
    ("origin", "target", "status"),
    [
        pytest.param(PLAIN, PLAIN, 201, id="plain"),
        pytest.param(with_key(KEY), with_key(KEY), 201, id="same-key"),
        pytest.param(with_key(KEY), PLAIN, 202, id="from-kms"),
        pytest.param(PLAIN, with_key(KEY), 202, id="to-kms"),
        pytest.param(with_key(KEY), with_key(OTHER_KEY), 202, id="other-key"),
        pytest.param(with_key(KEY), with_key(KEY, "KMS_DSSE"), 202, id="other-type"),
    ],
)
def test_mount_needs_the_same_encryption(
    server: Server,
    http: httpx.Client,
    origin: EncryptionConfigurationTypeDef,
    target: EncryptionConfigurationTypeDef,
    status: int,
) -> None:
    ecr, names = server.ecr(), [f"mounts/encrypted-{uuid.uuid4()}" for _ in range(2)]
    ecr.create_repository(repositoryName=names[0], encryptionConfiguration=origin)
    ecr.create_repository(repositoryName=names[1], encryptionConfiguration=target)
    content = some_bytes(1000, names[0])
    digest = push_blob(http, names[0], content)

    answers = mount(http, names[1], digest, names[0]), mount(http, names[1], digest)

    assert [answer.status_code for answer in answers] == [status, status]
    assert has(http, names[1], digest) == (status == 201)


def test_mount_under_parity_begins_an_upload(parity_server: Server) -> None:
    ecr = parity_server.ecr()
    ecr.create_repository(repositoryName="mounts/source")
    ecr.create_repository(repositoryName="mounts/target")
    with parity_server.http() as http:
        push_blob(http, "mounts/source", CONTENT)

        answer = mount(http, "mounts/target", DIGEST, "mounts/source")

        assert look_of(answer) == look_of(start(http, "mounts/target"))
        assert not has(http, "mounts/target", DIGEST)


def test_mounted_layer_outlives_its_source_and_the_collector(tmp_path: Path) -> None:
    periods = {"ECRATE_COLLECT_EVERY": "0.1", "ECRATE_QUARANTINE": "0", "ECRATE_LAYER_GRACE": "1"}
    image = make_image()
    with (
        running_server(tmp_path / "data", env=periods | {"ECRATE_TRASH_KEPT": "0"}) as server,
        server.http() as http,
    ):
        ecr = server.ecr()
        for name in ("mounts/source", "mounts/target"):
            ecr.create_repository(repositoryName=name)
        push_image(http, "mounts/source", image)
        push_image(http, "mounts/source", make_image(2000), "witness")
        mounted = [mount(http, "mounts/target", one.digest, "mounts/source") for one in image.blobs]
        put_manifest(http, "mounts/target", "latest", image.manifest)

        ecr.delete_repository(repositoryName="mounts/source", force=True)
        wait_until(lambda: len(files_of(server)) == len(image.blobs))

        assert [answer.status_code for answer in mounted] == [201, 201]
        pulled = [pull_blob(http, "mounts/target", blob.digest) for blob in image.blobs]
        assert pulled == [blob.content for blob in image.blobs]
