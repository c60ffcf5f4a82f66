"""`ecrate inspect`: the chain from a tag to its layers."""

from __future__ import annotations

import json

from tests.cli.conftest import Run
from tests.cli.pushed import image_of, push, push_index, push_referrer, tar
from tests.support.images import digest_of
from tests.support.server import Server


def test_inspect_tells_layers_with_their_chain(run: Run, server: Server, repository: str) -> None:
    tars = [tar({"a": b"1"}), tar({"b": b"2"})]
    image = image_of(*tars, Labels={"team": "x"})
    push(server, repository, image, "v1")

    told = json.loads(run("inspect", f"{repository}:v1", "--json").out)

    below, above = told["layers"]
    diff_ids = [digest_of(each) for each in tars]
    assert told["manifest"]["digest"] == image.digest
    assert told["configDigest"] == image.config.digest
    assert [below["diffId"], above["diffId"]] == diff_ids
    assert below["chainId"] == diff_ids[0]
    assert above["chainId"] == digest_of(" ".join(diff_ids).encode())
    assert (below["createdBy"], above["createdBy"]) == ("COPY 0", "COPY 1")
    assert below["size"] == len(image.layers[0].content)
    assert told["config"]["Labels"] == {"team": "x"}
    assert [each["emptyLayer"] for each in told["history"]] == [True, False, False]


def test_inspect_shows_the_same_to_people(run: Run, server: Server, repository: str) -> None:
    image = image_of(
        tar({"a": b"1"}),
        Labels={"team": "x", "evil": "\x1b[31mred"},
        Cmd=["run", "it"],
        Env=["A=1", "B=2"],
    )
    push(server, repository, image, "v1")
    signature = push_referrer(server, repository, image.digest)

    out = run("inspect", f"{repository}:v1").out

    assert "\x1b" not in out
    rows = [line.split(maxsplit=1) for line in out.splitlines() if line]
    told = {row[0]: row[1] for row in rows if len(row) > 1}
    assert told["platform"] == "linux/amd64"
    assert told["command"] == '["run", "it"]'
    assert told["environment"] == "A=1"
    assert "team=x" in out
    assert told["referrers"].startswith(signature)
    assert told[image.layers[0].digest].endswith("COPY 0")


def test_inspect_of_an_index_takes_one_platform(run: Run, server: Server, repository: str) -> None:
    images = push_index(server, repository, "multi")

    told = json.loads(
        run("inspect", f"{repository}:multi", "--platform", "linux/arm64", "--json").out
    )

    assert told["manifest"]["digest"] == images["arm64"].digest
    assert [each["platform"] for each in told["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert told["index"]["mediaType"].endswith("index.v1+json")
