"""HTTP under both fronts: server, bodies in, files out, worker processes."""

from __future__ import annotations
