"""testcontainers' way to a server, with the image and a docker of its own."""

from __future__ import annotations

from contextlib import closing

import pytest

from ecrate import __version__
from ecrate.testing.container import EcrateContainer
from tests.packaging.conftest import BuiltImage
from tests.support.dockerd import running_dockerd

pytestmark = pytest.mark.clients


def test_container_has_a_registry_for_each_test(
    image: BuiltImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ryuk would have to be downloaded; dockerd ends with the test, and all it has started.
    monkeypatch.setattr("testcontainers.core.config.testcontainers_config.ryuk_disabled", True)
    with running_dockerd() as docker:
        assert f"ecrate:{__version__}" in docker.output("load", "--input", str(image.archive))
        host = docker.command[-1]
        monkeypatch.setenv("DOCKER_HOST", host)
        # The docker of these tests has no bridge: the port is that of the host.
        with (
            EcrateContainer(docker_client_kw={"base_url": host}, network_mode="host") as container,
            closing(container.registry()) as registry,
            closing(container.registry()) as other,
        ):
            pushed = registry.push_image("app", "v1")
            (found,) = registry.ecr.describe_images(repositoryName="app")["imageDetails"]
            assert found["imageDigest"] == pushed.digest
            assert other.ecr.describe_repositories()["repositories"] == []
