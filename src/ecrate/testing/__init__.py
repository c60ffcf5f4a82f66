"""A real ecrate for tests: a server on a free port, a registry of one's own for each test.

    with running_server() as server:
        registry = server.registry()
        registry.push_image("app", "v1")
        registry.client().describe_images(repositoryName="app")

With pytest it comes as the fixture `ecrate` (`ecrate.testing.plugin`).
"""

from __future__ import annotations

from ecrate.testing.registry import PushedImage, Registry
from ecrate.testing.server import Server, running_server, start_server

__all__ = ["PushedImage", "Registry", "Server", "running_server", "start_server"]
