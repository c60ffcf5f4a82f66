"""`ecrate import` of what Debian's docker-registry wrote, and what comes out of ecrate then."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Run
from tests.cli.test_backup import files_in, pulled, run_until, whole
from tests.support.checking import check
from tests.support.core import Bench
from tests.support.docker_registry import running_docker_registry
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.layouts import pack_index
from tests.support.registry import manifest_of, put_manifest, start_upload
from tests.support.server import running_server

SIGNATURE = "application/vnd.example.signature"


@dataclass(frozen=True)
class Stopped:
    """The folder of a registry that was stopped, and what is in it."""

    folder: Path
    amd64: MadeImage
    arm64: MadeImage
    index: str
    signature: str


def push_blobs(http: httpx.Client, name: str, image: MadeImage) -> None:
    """Push as docker-registry wants it: the upload's state stays in the address."""
    for blob in image.blobs:
        location = start_upload(http, name)
        answer = http.put(f"{location}&digest={blob.digest}", content=blob.content)
        assert answer.status_code == 201, answer.text


def put(http: httpx.Client, name: str, document: str, reference: str, kind: str) -> str:
    answer = put_manifest(http, name, reference, document, kind)
    assert answer.status_code == 201, answer.text
    return digest_of(document.encode())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """A docker-registry that was pushed to, tagged and deleted from, and stopped."""
    folder = tmp_path_factory.mktemp("docker-registry")
    amd64, arm64, gone = (make_image(30_000, size) for size in (30_000, 20_000, 10_000))
    index = pack_index({"amd64": amd64, "arm64": arm64})
    subject = {"mediaType": OCI_MANIFEST, "digest": amd64.digest, "size": len(amd64.manifest)}
    signed = make_image(500)
    signature = manifest_of(signed, OCI_MANIFEST, subject=subject, artifactType=SIGNATURE)
    with running_docker_registry(folder) as registry, registry.http() as http:
        for image in (amd64, arm64, gone, signed):
            push_blobs(http, "library/app", image)
        for image in (amd64, arm64, gone):
            put(http, "library/app", image.manifest, image.digest, OCI_MANIFEST)
        put(http, "library/app", index, "multi", OCI_INDEX)
        put(http, "library/app", gone.manifest, "latest", OCI_MANIFEST)
        put(http, "library/app", amd64.manifest, "latest", OCI_MANIFEST)
        put(http, "library/app", signature, digest_of(signature.encode()), OCI_MANIFEST)
        deleted = http.delete(f"/v2/library/app/manifests/{gone.digest}")
        assert deleted.status_code == 202
        push_blobs(http, "other", arm64)
        put(http, "other", arm64.manifest, "1.0", OCI_MANIFEST)
    return Stopped(folder / "data", amd64, arm64, index, digest_of(signature.encode()))


def test_everything_comes_out_as_it_went_in(
    plain_run: Run, stopped: Stopped, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with running_server(data) as server, server.http() as http:
        words = ["import", str(stopped.folder), "--data", str(data)]
        ran = plain_run(*words, "--repository-prefix", "old/", "--json")
        again = plain_run(*words, "--repository-prefix", "old/")
        checked = plain_run("fsck", "--data", str(data))
        images = [pulled(server, "old/library/app", one) for one in (stopped.amd64, stopped.arm64)]
        index = http.get("/v2/old/library/app/manifests/multi")
        tags = [http.get(f"/v2/old/{name}/tags/list").json() for name in ("library/app", "other")]
        latest = http.head("/v2/old/library/app/manifests/latest")
        referrers = http.get(f"/v2/old/library/app/referrers/{stopped.amd64.digest}").json()
        listed = server.ecr().list_images(repositoryName="old/library/app")["imageIds"]

    told = json.loads(ran.out)
    assert ran.code == again.code == checked.code == 0
    counts = {name: told[name] for name in ("repositories", "images", "tags", "layers")}
    assert counts == {"repositories": 2, "images": 5, "tags": 3, "layers": 8}
    assert told["refused"] == []
    assert again.out == "new are 0 repositories, 0 images, 0 tags, 0 layers of 0 B\n"
    assert images == [whole(stopped.amd64), whole(stopped.arm64)]
    assert index.text == stopped.index
    assert [one["tags"] for one in tags] == [["latest", "multi"], ["1.0"]]
    assert latest.headers["Docker-Content-Digest"] == stopped.amd64.digest
    assert [one["digest"] for one in referrers["manifests"]] == [stopped.signature]
    # What was deleted there has not come.
    assert len({one["imageDigest"] for one in listed}) == 4


def test_import_that_was_killed_goes_on(plain_run: Run, stopped: Stopped, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "secret").write_text("0" * 64)
    words = ["import", str(stopped.folder), "--data", str(tmp_path)]
    blobs = tmp_path / "blobs"

    code = run_until([*words, "--rate", "50kB"], lambda: files_in(blobs) >= 2)
    ran = plain_run(*words, "--json")

    assert code == -signal.SIGKILL
    assert (ran.code, json.loads(ran.out)["refused"]) == (0, [])
    assert 0 < json.loads(ran.out)["layers"] < 8
    assert check(bench) == []
    bench.close()


def test_refusals_are_told(plain_run: Run, stopped: Stopped, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "secret").write_text("0" * 64)

    ran = plain_run(
        "import", str(stopped.folder), "--data", str(tmp_path), "--repository-prefix", "BAD/"
    )

    assert ran.code == 1
    assert ran.out.startswith("new are 0 repositories")
    assert "\nrefused: library/app repository: Invalid parameter at 'repositoryName'" in ran.out
    bench.close()


def test_folder_that_is_none(plain_run: Run, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "secret").write_text("0" * 64)

    ran = plain_run("import", str(tmp_path), "--data", str(tmp_path))

    assert ran.code == 255
    assert ran.err == (f"ecrate: there is no docker/registry/v2/repositories in {tmp_path}\n")
    bench.close()
