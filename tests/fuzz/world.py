"""A small registry to call the AWS door's handlers on, put back as it was after each change."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ecrate.aws.call import Call
from ecrate.operations import identities
from ecrate.web.hosts import Hosts
from tests.support.core import CALLER, REGISTRY, Bench
from tests.support.images import make_image
from tests.support.policies import allow, policy
from tests.support.pushing import make_index

NAME = "one"
ROLE = f"arn:aws:iam::{REGISTRY.id}:role/deploy"


class World:
    """A repository with images, an upload, a role; `known` are values that hit them, by member."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._kept = folder, folder / "kept.db"
        self._bench = Bench(folder)
        self.known = self._furnish()
        self._bench.close()
        shutil.copyfile(folder / "ecrate.db", self._kept)
        self._bench = Bench(folder)

    def _furnish(self) -> dict[str, list[Any]]:
        bench = self._bench
        ref = bench.create(NAME)
        image, child = make_image(10), make_image(10)
        digest = bench.push(ref, image, "v1").text
        bench.push(ref, child)
        bench.put(ref, make_index(child), ["all"])
        upload_id = bench.begin(ref, b"abc")
        trust = policy(allow("sts:AssumeRole", Principal="*"))
        identities.create_principal(bench.core, REGISTRY.id, "role", "deploy", trust)
        ids: list[dict[str, str]] = [
            {"imageTag": "v1"}, {"imageDigest": digest}, {"imageDigest": child.digest}, {},
        ]  # fmt: skip
        return {
            "repositoryName": [NAME],
            "repositoryNames": [[NAME], [NAME, "two"]],
            "registryId": [REGISTRY.id, "210987654321"],
            "imageIds": [ids[:1], ids[1:2], ids],
            "imageId": ids,
            "imageTag": ["v1", "v2"],
            "imageDigest": [digest],
            "imageManifest": [image.manifest, make_index(child)],
            "layerDigest": [image.config.digest],
            "layerDigests": [[image.config.digest, "", "x"]],
            "subjectId": [{"imageDigest": digest}],
            "uploadId": [upload_id, upload_id.upper()],
            "partFirstByte": [0, 3],
            "partLastByte": [2, 5],
            "resourceArn": [ref.arn],
            "policyText": [policy(allow("ecr:*", Principal="*", Resource="*"))],
        }

    def call(self, parameters: Any) -> Call[Any]:
        """Give a call of the account's root."""
        return Call(self._bench.core, CALLER, parameters, "localhost", Hosts())

    def reset(self) -> None:
        """Put the database back."""
        self._bench.close()
        shutil.copyfile(self._kept, self._folder / "ecrate.db")
        self._bench = Bench(self._folder)

    def close(self) -> None:
        self._bench.close()


@functools.cache
def world() -> World:
    """Make the world at its first use; it goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="ecrate-fuzz-"))
    made = World(folder)
    atexit.register(shutil.rmtree, folder)
    atexit.register(made.close)
    return made
