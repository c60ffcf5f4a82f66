"""What tests share: real servers on loopback, and images made for them."""

from __future__ import annotations
