"""Values and rules of a registry: the standard library only, no input or output."""

from __future__ import annotations
