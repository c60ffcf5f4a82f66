"""Random histories under faults, and a model that knows what must be true of every answer."""

from __future__ import annotations
