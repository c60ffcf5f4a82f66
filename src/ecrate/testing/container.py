"""The same for testcontainers: a server in a container, with a registry for each test.

    with EcrateContainer() as container:
        registry = container.registry()
        registry.push_image("app", "v1")
        registry.client().describe_images(repositoryName="app")

It takes the PyPI package `testcontainers`, which ecrate does not bring along, and the container
image, which `make release` builds.
"""

from __future__ import annotations

from typing import Any, Final

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

from ecrate import __version__
from ecrate.testing.registry import Registry
from ecrate.testing.server import registry_at

_PORT: Final = 5100


class EcrateContainer(DockerContainer):
    """A server in development mode. `options` are `DockerContainer`'s; settings are given as
    everywhere in containers: `.with_env("ECRATE_PARITY", "ecr")`.
    """

    def __init__(self, image: str = f"ecrate:{__version__}", **options: Any) -> None:
        super().__init__(image, **options)
        self.with_exposed_ports(_PORT)
        self.with_env("ECRATE_DEV", "true")
        # Beyond its own loopback, since that is a container's alone.
        self.with_env("ECRATE_DEV_ANYWHERE", "true")
        self.with_env("ECRATE_WORKERS", "1")
        self.waiting_for(HttpWaitStrategy(_PORT, "/readyz"))

    @property
    def endpoint(self) -> str:
        """The URL of the running server, for clients outside."""
        return f"http://{self.get_container_host_ip()}:{self.get_exposed_port(_PORT)}"

    def registry(self, account: str = "", region: str = "us-east-1") -> Registry:
        """Give an account's registry in a region; without a name, one that nobody else uses."""
        return registry_at(self.endpoint, account, region)
