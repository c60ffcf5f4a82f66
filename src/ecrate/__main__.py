"""`python -m ecrate` is the `ecrate` command."""

from __future__ import annotations

import sys

from ecrate.cli import main

if __name__ == "__main__":
    sys.exit(main())
