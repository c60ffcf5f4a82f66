"""Every fact, in SQL: one module a noun, the statements written out where they are run."""

from __future__ import annotations
