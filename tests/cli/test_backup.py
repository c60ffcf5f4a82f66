"""`ecrate backup` and `ecrate restore`: beside a running server, killed, and again to the end."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ecrate.cli.backup import _toml
from ecrate.settings import Settings, load_settings
from ecrate.store.sqlite import migrate
from tests.cli.conftest import Run
from tests.support.checking import check
from tests.support.core import Bench
from tests.support.images import MadeImage, make_image
from tests.support.pushing import push_image
from tests.support.schemas import sqlite_schema
from tests.support.server import Server, plain_environment, read_key, running_server

PATIENCE = 60.0


def run_until(words: Sequence[str], is_reached: Callable[[], bool]) -> int:
    """Run a command and kill it as soon as that is reached; give its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ecrate", *words],
        stdout=subprocess.DEVNULL,
        env=plain_environment(),
    )
    deadline = time.monotonic() + PATIENCE
    while not is_reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def files_in(folder: Path) -> int:
    return sum(file.is_file() and "-" not in file.name[:4] for file in folder.rglob("*"))


def pulled(server: Server, name: str, image: MadeImage) -> list[bytes]:
    with server.http() as http:
        manifest = http.get(f"/v2/{name}/manifests/{image.digest}")
        blobs = [http.get(f"/v2/{name}/blobs/{blob.digest}") for blob in image.blobs]
    return [manifest.content, *(blob.content for blob in blobs)]


def whole(image: MadeImage) -> list[bytes]:
    return [image.manifest.encode(), *(blob.content for blob in image.blobs)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Data without a server, and twelve layers in it."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "secret").write_text("0" * 64)
    made = Bench(data)
    for number in range(4):
        made.push(made.create(f"repository-{number}"), make_image(30_000, 30_000), "v1")
    with made.writing() as tx:
        tx.run("INSERT INTO installation (id) VALUES ('an id')")
    yield made
    made.close()


def test_server_comes_back_as_it_was(plain_run: Run, tmp_path: Path) -> None:
    data, folder, new = tmp_path / "data", tmp_path / "backups", tmp_path / "new"
    first, second = make_image(1000), make_image(2000)
    settings = {"ECRATE_REGION": "eu-central-1", "ECRATE_LAYER_GRACE": "5000"}
    with running_server(data, env=settings) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        ecr = server.ecr(region="eu-central-1")
        ecr.create_repository(repositoryName="team/app")
        push_image(ecr, "team/app", first, "1")
        one = plain_run("backup", str(folder), "--data", str(data), "--json")
        push_image(ecr, "team/app", second, "2")
        two = plain_run("backup", str(folder), "--data", str(data), "--verify")
    key = read_key(data)

    restored = plain_run("restore", str(folder), "--data", str(new))
    config = ["--config", str(new / "settings.toml")]
    with running_server(new, *config, key=key) as server:
        ecr = server.ecr(region="eu-central-1")
        tags = {tag for image in ecr.describe_images(repositoryName="team/app")["imageDetails"]
                for tag in image["imageTags"]}  # fmt: skip
        contents = [pulled(server, "team/app", image) for image in (first, second)]

    assert (one.code, two.code, restored.code) == (0, 0, 0)
    told = json.loads(one.out)
    assert (told["layers"], told["copied"], told["damaged"]) == (2, 2, [])
    assert "4 layers of" in two.out
    assert "2 of them new" in two.out
    assert str(new / "settings.toml") in restored.out
    assert tomllib.loads((new / "settings.toml").read_text()) == {
        "region": "eu-central-1",
        "layer_grace": 5000.0,
    }
    assert read_key(new) == key
    assert tags == {"1", "2"}
    assert contents == [whole(first), whole(second)]
    assert {path.stat().st_mode & 0o077 for path in (new / "secret", new / "credentials")} == {0}
    assert not (new / "restoring").exists()


def test_backup_that_was_killed_goes_on(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    words = ["backup", str(folder), "--data", str(bench.folder)]
    pool = folder / "blobs"

    code = run_until([*words, "--rate", "50kB"], lambda: files_in(pool) >= 3)
    none_yet = plain_run("restore", str(folder), "--data", str(tmp_path / "new"))
    ran = plain_run(*words, "--json")

    assert code == -signal.SIGKILL
    assert none_yet.code == 255
    assert f"there is no backup in {folder}" in none_yet.err
    told = json.loads(ran.out)
    assert ran.code == 0
    assert told["layers"] == 12
    assert 0 < told["copied"] < 12
    assert {path.name for path in folder.iterdir()} == {"lock", "blobs", told["name"]}


def test_restore_that_was_killed_goes_on(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    folder, new = tmp_path / "backups", tmp_path / "new"
    assert plain_run("backup", str(folder), "--data", str(bench.folder)).code == 0
    words = ["restore", str(folder), "--data", str(new)]

    code = run_until([*words, "--rate", "50kB"], lambda: files_in(new / "blobs") >= 3)
    served = plain_run("serve", "--data", str(new), "--port", "0")
    ran = plain_run(*words, "--json")

    assert code == -signal.SIGKILL
    assert served.code == 2
    assert "a restore into" in served.err
    assert "has not ended; run `ecrate restore` again" in served.err
    told = json.loads(ran.out)
    assert (ran.code, told["layers"]) == (0, 12)
    assert 0 < told["copied"] < 12
    target = Bench(new)
    assert check(target) == []
    target.close()


@pytest.mark.parametrize("file", ["restoring", "ecrate.db", "blobs/ff", "secret"])
def test_restore_can_be_killed_at_any_moment(
    plain_run: Run, bench: Bench, tmp_path: Path, file: str
) -> None:
    folder, new = tmp_path / "backups", tmp_path / "new"
    assert plain_run("backup", str(folder), "--data", str(bench.folder), "--quiet").code == 0
    words = ["restore", str(folder), "--data", str(new)]

    run_until(words, (new / file).exists)
    ran = plain_run(*words)

    # It may have ended before it was killed.
    assert ran.code == 0 or f"data directory {new} is not empty" in ran.err, ran.err
    target = Bench(new)
    assert check(target) == []
    assert len(list((new / "blobs").rglob("*-*-*"))) == 12
    target.close()
    assert (new / "secret").read_text() == "0" * 64


def test_data_directory_that_is_not_empty_is_refused(
    plain_run: Run, bench: Bench, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    plain_run("backup", str(folder), "--data", str(bench.folder))

    ran = plain_run("restore", str(folder), "--data", str(bench.folder))

    assert ran.code == 255
    assert ran.err == (
        f"ecrate: data directory {bench.folder} is not empty, and nothing that is there is "
        "overwritten\n"
    )
    assert check(bench) == []


@pytest.mark.parametrize("setting", ["database", "blobs"])
def test_stores_elsewhere_that_are_not_empty_are_refused(
    plain_run: Run, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    folder, new = tmp_path / "backups", tmp_path / "new"
    plain_run("backup", str(folder), "--data", str(bench.folder))
    places = {"database": bench.url, "blobs": f"file://{bench.folder}"}
    monkeypatch.setenv(f"ECRATE_{setting.upper()}", places[setting])

    ran = plain_run("restore", str(folder), "--data", str(new))

    assert ran.code == 255
    assert "is not empty, and nothing that is there is overwritten" in ran.err
    monkeypatch.delenv(f"ECRATE_{setting.upper()}")
    assert plain_run("restore", str(folder), "--data", str(new)).code == 0


def test_another_backup_is_not_restored_into_a_half_restored_one(
    plain_run: Run, bench: Bench, tmp_path: Path
) -> None:
    folder, new = tmp_path / "backups", tmp_path / "new"
    plain_run("backup", str(folder), "--data", str(bench.folder))
    new.mkdir()
    (new / "restoring").write_text("/elsewhere/other\n")

    ran = plain_run("restore", str(folder), "--data", str(new))

    assert ran.code == 255
    assert "where a restore of /elsewhere/other has not ended, is not empty" in ran.err


def test_damage_is_told(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    folder, new = tmp_path / "backups", tmp_path / "new"
    next((bench.folder / "blobs").rglob("*-*-*")).unlink()

    made = plain_run("backup", str(folder), "--data", str(bench.folder))
    restored = plain_run("restore", str(folder), "--data", str(new), "--json")
    checked = plain_run("fsck", "--data", str(new), "--json")

    assert made.code == restored.code == checked.code == 1
    (digest,) = json.loads(restored.out)["damaged"]
    assert f"the server has not the bytes of {digest}; `ecrate fsck` tells" in made.out
    (finding,) = json.loads(checked.out)["findings"]
    assert (finding["kind"], finding["what"]) == ("lost-blob", digest)


def test_keep_deletes_older_backups(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    words = ("backup", str(folder), "--data", str(bench.folder), "--keep", "2", "--json")

    told = [json.loads(plain_run(*words).out) for _ in range(4)]

    assert [one["deleted"] for one in told] == [0, 0, 1, 1]
    names = {path.name for path in folder.iterdir()} - {"lock", "blobs"}
    assert names == {one["name"] for one in told[2:]}
    assert files_in(folder / "blobs") == 12


def test_backup_of_an_earlier_schema_is_brought_up_to_date(
    plain_run: Run, bench: Bench, tmp_path: Path
) -> None:
    """As if version 5 had made it, which knew nothing of lost blobs."""
    folder, new = tmp_path / "backups", tmp_path / "new"
    told = json.loads(plain_run("backup", str(folder), "--data", str(bench.folder), "--json").out)
    make_older(Path(told["path"]))

    ran = plain_run("restore", str(folder), "--data", str(new))

    assert (ran.code, ran.err) == (0, "")
    target = Bench(new)
    assert check(target) == []
    target.close()


def make_older(backup: Path) -> None:
    """Take out of a backup what version 5 had no tables and columns for."""
    migrate(backup.with_name("older.db"), 5)
    known = {
        (table, name) for table, name, *_ in sqlite_schema(backup.with_name("older.db")).columns
    }
    about = json.loads((backup / "backup.json").read_text())
    about["schema"] = 5
    about["rows"] = [one for one in about["rows"] if one["table"] in {table for table, _ in known}]
    for entry in about["rows"]:
        kept = [n for n, name in enumerate(entry["columns"]) if (entry["table"], name) in known]
        file = backup / "rows" / f"{entry['table']}.jsonl.gz"
        rows = map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
        lines = b"".join(json.dumps([row[n] for n in kept]).encode() + b"\n" for row in rows)
        file.write_bytes(gzip.compress(lines))
        entry["columns"] = [entry["columns"][n] for n in kept]
        entry["sha256"] = hashlib.sha256(lines).hexdigest()
    backup.with_name("older.db").unlink()
    (backup / "backup.json").write_text(json.dumps(about))


def test_backup_of_a_newer_version_is_refused(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    told = json.loads(plain_run("backup", str(folder), "--data", str(bench.folder), "--json").out)
    file = Path(told["path"]) / "backup.json"
    about = json.loads(file.read_text()) | {"schema": 99, "ecrate": "9.9"}
    file.write_text(json.dumps(about))

    ran = plain_run("restore", str(folder), "--data", str(tmp_path / "new"))

    assert ran.code == 255
    assert "was made by a newer ecrate (9.9, schema 99); restore it with that version" in ran.err


def test_settings_are_written_as_they_are_read(tmp_path: Path) -> None:
    settings = Settings(
        host="0.0.0.0",  # noqa: S104 - only written
        public_url="https://registry.example",
        anonymous_pull=True,
        layer_grace=7.5,
        audit_log='/var/log/"ecrate"\\log',
        s3_secret_access_key="a secret",
        data=Path("/srv/ecrate"),
        workers=3,
    )
    file = tmp_path / "settings.toml"
    file.write_bytes(_toml(settings))

    read = load_settings({}, {}, file)

    assert "secret" not in file.read_text()
    assert read == Settings(
        host="0.0.0.0",  # noqa: S104 - only read
        public_url="https://registry.example",
        anonymous_pull=True,
        layer_grace=7.5,
        audit_log='/var/log/"ecrate"\\log',
        workers=3,
    )


def test_folder_that_is_none(plain_run: Run, tmp_path: Path) -> None:
    ran = plain_run("restore", str(tmp_path / "none"), "--data", str(tmp_path / "new"))

    assert ran.code == 255
    assert ran.err == f"ecrate: cannot use {tmp_path / 'none'}: No such file or directory\n"
    assert list(tmp_path.iterdir()) == []
