"""Where bytes live: the port, its drivers, and digests that can be resumed."""

from __future__ import annotations
