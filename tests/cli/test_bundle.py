"""`ecrate bundle` between two running servers, whose data it works on beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.pushed import push
from tests.support.aws_cli import Ran
from tests.support.images import make_image
from tests.support.server import Server, running_server
from tests.support.signers import make_signer, pem_of

Command = Callable[..., Ran]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server on the other side."""
    with running_server(tmp_path_factory.mktemp("other") / "data") as running:
        yield running


@pytest.fixture
def here(plain_run: Run, server: Server) -> Command:
    """Run a command on the data of the one side."""
    return lambda name, *words: plain_run(name, "--data", str(server.data), *words)


@pytest.fixture
def there(plain_run: Run, other: Server) -> Command:
    """Run a command on the data of the other."""
    return lambda name, *words: plain_run(name, "--data", str(other.data), *words)


def answer(ran: Ran) -> Any:
    """Give what a command printed that did what it should."""
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


@pytest.fixture
def trust(here: Command, server: Server) -> list[str]:
    """A profile that signs bundles, as the other side trusts it."""
    certificate = server.data / "signing" / "courier.pem"
    if not certificate.exists():
        answer(here("signing", "create-key", "courier"))
    return ["--trust", str(certificate)]


def test_bundles_bring_another_server_up_to_date(
    here: Command, there: Command, servers: tuple[Server, Server], trust: list[str], tmp_path: Path
) -> None:
    server, other = servers
    server.ecr().create_repository(repositoryName="carried/app")
    image, new = make_image(100), make_image(200)
    push(server, "carried/app", image, "v1", "old")
    sign = ("--profile", "courier")

    first = answer(here("bundle", "create", str(tmp_path), *sign))
    shown = answer(there("bundle", "show", first["path"], *trust))
    applied = answer(there("bundle", "apply", first["path"], *trust))
    push(server, "carried/app", new, "v2", "old")
    second = answer(here("bundle", "create", str(tmp_path), *sign, "--since", first["name"]))
    answer(there("bundle", "apply", second["path"], *trust))
    again = answer(there("bundle", "apply", second["path"], *trust))

    assert (shown["id"], shown["signer"]) == (first["id"], "CN=courier,O=ecrate")
    assert applied["new"]
    assert not again["new"]
    assert (second["since"], second["changes"]["blobs"]) == (first["id"], len(new.blobs))
    with other.http() as http:
        for tag, pushed in (("v1", image), ("v2", new), ("old", new)):
            found = http.get(f"/v2/carried/app/manifests/{tag}")
            assert found.headers["Docker-Content-Digest"] == pushed.digest
        blob = new.layers[0]
        assert http.get(f"/v2/carried/app/blobs/{blob.digest}").content == blob.content


@pytest.fixture
def servers(server: Server, other: Server) -> tuple[Server, Server]:
    return server, other


def test_bundle_says_what_is_wrong(
    here: Command, there: Command, trust: list[str], tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(pem_of(make_signer(now=0).chain))
    made = answer(here("bundle", "create", str(tmp_path / "b"), "--profile", "courier"))

    ran = {
        "no profile": here("bundle", "create", str(tmp_path / "b"), "--profile", "nobody"),
        "no bundle before": here(
            "bundle", "create", str(tmp_path / "b"), "--profile", "courier", "--since", "never"
        ),
        "no folder": there("bundle", "apply", "/nowhere", *trust),
        "no bundle": there("bundle", "apply", str(tmp_path), *trust),
        "a stranger": there("bundle", "apply", made["path"], "--trust", str(stranger)),
    }

    said = {name: one.err.strip() for name, one in ran.items()}
    assert {one.code != 0 for one in ran.values()} == {True}
    assert said["no profile"].startswith("ecrate: there is no signing profile nobody in ")
    assert said["no bundle before"] == f"ecrate: there is no bundle 'never' in {tmp_path / 'b'}"
    assert said["no folder"].startswith("ecrate: /nowhere is no folder")
    assert "it has no bundle.jws" in said["no bundle"]
    assert said["a stranger"].endswith("CN=courier,O=ecrate is nobody who is trusted")
