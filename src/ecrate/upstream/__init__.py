"""Other registries: how they are reached, and how one proves to them who is asking."""

from __future__ import annotations
