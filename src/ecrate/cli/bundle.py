"""`ecrate bundle`."""
from __future__ import annotations

SUMMARY = ""
