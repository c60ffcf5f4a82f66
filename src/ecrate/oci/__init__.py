"""The registry door: the Docker and OCI Distribution API under `/v2/`."""

from __future__ import annotations
