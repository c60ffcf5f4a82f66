"""Measurements of ecrate beside Debian's docker-registry, interleaved in one run.

What counts is ratios, of throughput and of the server's own CPU: user and system time of its
whole process tree. The load comes from processes of its own and is not counted.
"""

from __future__ import annotations
