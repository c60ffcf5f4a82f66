"""`ecrate fsck` beside a running server and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecrate.cli.rate import parse_rate
from ecrate.domain.names import RepositoryRef
from ecrate.operations.collection import collect
from tests.cli.conftest import Run
from tests.support.core import Bench
from tests.support.images import OCI_MANIFEST, MadeImage, make_image
from tests.support.layouts import write_layout
from tests.support.pushing import push_image
from tests.support.server import running_server


def file_of(data: Path, size: int) -> Path:
    """Give the file of a layer by its size."""
    return next(file for file in data.glob("blobs/*/*") if file.stat().st_size == size)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Data without a server."""
    (tmp_path / "secret").write_text("0" * 64)
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def one(bench: Bench) -> RepositoryRef:
    return bench.create("one")


@pytest.fixture
def image(bench: Bench, one: RepositoryRef) -> MadeImage:
    made = make_image(100)
    bench.push(one, made, "v1")
    return made


def test_all_is_well(plain_run: Run, bench: Bench, image: MadeImage) -> None:
    ran = plain_run("fsck", "--data", str(bench.folder))

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("all is well; ")
    assert ran.out.endswith(f"{sum(len(blob.content) for blob in image.blobs)} B read\n")


def test_quiet_says_nothing_when_all_is_well(
    plain_run: Run, bench: Bench, image: MadeImage
) -> None:
    assert image.digest
    ran = plain_run("fsck", "--quiet", "--data", str(bench.folder))

    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_json(plain_run: Run, bench: Bench, image: MadeImage) -> None:
    file_of(bench.folder, 100).write_bytes(bytes(100))

    ran = plain_run("fsck", "--json", "--rate", "unlimited", "--data", str(bench.folder))
    repaired = plain_run("fsck", "--json", "--repair", "--data", str(bench.folder))

    told = json.loads(ran.out)
    assert (ran.code, told["ok"]) == (1, False)
    assert told["checked"]["blobs"] == 2
    assert told["findings"] == [
        {
            "kind": "corrupt-blob",
            "what": image.layers[0].digest,
            "told": "its bytes have another digest; push an image that has it again",
            "done": "",
            "mended": False,
            "imageCount": 1,
            "images": [
                {
                    "account": bench.caller.registry.id,
                    "region": bench.caller.registry.region,
                    "repository": "one",
                    "digest": image.digest,
                    "tags": ["v1"],
                    "deleted": False,
                }
            ],
        }
    ]
    assert repaired.code == 1
    assert "in quarantine" in json.loads(repaired.out)["findings"][0]["done"]


def test_json_without_findings(plain_run: Run, bench: Bench) -> None:
    ran = plain_run("fsck", "--json", "--data", str(bench.folder))

    told = json.loads(ran.out)
    assert (ran.code, told["ok"], told["findings"]) == (0, True, [])


def test_many_images_are_counted(plain_run: Run, bench: Bench, image: MadeImage) -> None:
    for number in range(24):
        bench.push(bench.create(f"other-{number:02}"), image, "v1")
    collect(bench.core)
    file_of(bench.folder, 100).unlink()

    ran = plain_run("fsck", "--no-hash", "--data", str(bench.folder))

    assert ran.code == 1
    assert ran.out.count("needed by") == 20
    assert f"needed by other-18@{image.digest} (v1), account" in ran.out
    assert "and 5 more" in ran.out


def test_what_is_mended_is_no_failure(plain_run: Run, bench: Bench, image: MadeImage) -> None:
    with bench.writing() as tx:
        tx.run("UPDATE images SET tag_count = 5")

    broken = plain_run("fsck", "--data", str(bench.folder))
    mended = plain_run("fsck", "--repair", "--data", str(bench.folder))

    assert broken.code == 1
    line = f"wrong-count: images: one@{image.digest}: tag_count is 5, and there are 1\n"
    assert broken.out.startswith(line)
    assert mended.code == 0
    assert "\n    counted again\nall is well, 1 mended" in mended.out


def test_damage_is_healed_by_pushing_to_the_running_server(
    plain_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, layout, image = tmp_path / "data", tmp_path / "layout", make_image(1000)
    write_layout(layout, [image], {"1.0": (image.manifest, OCI_MANIFEST)})
    log = tmp_path / "audit.log"
    monkeypatch.setenv("ECRATE_AUDIT_LOG", str(log))
    with running_server(data, env={"ECRATE_AUDIT_LOG": str(log)}) as server, server.http() as http:
        ecr = server.ecr()
        ecr.create_repository(repositoryName="team/app")
        push_image(ecr, "team/app", image, "1.0")
        file_of(data, 1000).unlink()
        url = f"/v2/team/app/blobs/{image.layers[0].digest}"

        found = plain_run("fsck", "--data", str(data))
        was_said_to_be_there = http.head(url).status_code == 200
        repaired = plain_run("fsck", "--repair", "--data", str(data))
        is_said_to_be_there = http.head(url).status_code == 200
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        pushed = plain_run("push", str(layout), "team/app:1.0", "--json")
        healed = plain_run("fsck", "--data", str(data))
        content = http.get(url).content

    assert [found.code, repaired.code, healed.code] == [1, 1, 0]
    assert f"needed by team/app@{image.digest} (1.0)" in found.out
    assert (was_said_to_be_there, is_said_to_be_there) == (True, False)
    assert [blob["result"] for blob in json.loads(pushed.out)["blobs"]] == [
        "already there",
        "uploaded",
    ]
    assert content == image.layers[0].content
    assert "RepairData" in log.read_text()


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50MB", 50e6),
        ("50MB/s", 50e6),
        ("1.5GiB", 1.5 * 2**30),
        ("100k", 1e5),
        ("7", 7.0),
        ("unlimited", None),
    ],
)
def test_rate(text: str, rate: float | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "0", "-1MB", "1TB", "MB"])
def test_rate_that_is_none(plain_run: Run, text: str) -> None:
    ran = plain_run("fsck", f"--rate={text}")

    assert ran.code == 252
    assert f"'{text}' is no rate" in ran.err


def test_data_that_is_not_there(plain_run: Run, tmp_path: Path) -> None:
    ran = plain_run("fsck", "--data", str(tmp_path))

    assert (ran.code, ran.out) == (253, "")
    assert ran.err.startswith(f"ecrate: there is no data in {tmp_path}")
