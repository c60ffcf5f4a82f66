"""Commands on a running server's data."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.support.server import Server, plain_environment


def run_advisories(server: Server, *words: str) -> Any:
    """Run `ecrate advisories` with success; give what it printed."""
    command = [sys.executable, "-m", "ecrate", "advisories", "--data", str(server.data), *words]
    ran = subprocess.run(
        command, env=plain_environment(), capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(ran.stdout)
