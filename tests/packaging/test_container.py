"""testcontainers' way to a server, with the image and a docker of its own."""

from __future__ import annotations

from contextlib import closing

import pytest
from testcontainers.core.config import testcontainers_config

from ecrate import __version__
from ecrate.testing.container import EcrateContainer
from tests.support.clients import Program

pytestmark = pytest.mark.clients


def test_container_has_a_registry_for_each_test(
    docker: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ryuk would have to be downloaded; dockerd ends with the tests, and all it has started.
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    monkeypatch.setattr(testcontainers_config, "tc_host_override", "127.0.0.1")
    monkeypatch.setenv("DOCKER_HOST", docker.command[-1])
    docker.output("network", "create", "tests")  # by itself this docker has none
    try:
        with (
            EcrateContainer("it").with_kwargs(network="tests") as container,
            closing(container.registry()) as registry,
            closing(container.registry()) as other,
        ):
            pushed = registry.push_image("app", "v1")
            (found,) = registry.ecr.describe_images(repositoryName="app")["imageDetails"]
            assert found["imageDigest"] == pushed.digest
            assert other.ecr.describe_repositories()["repositories"] == []
    finally:
        docker.output("network", "rm", "tests")


def test_container_is_of_the_image_of_this_version(
    docker: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.command[-1])

    assert EcrateContainer().image == f"ecrate:{__version__}"
