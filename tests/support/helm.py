"""Helm without its binary: Helm's own Go code, which helm-python-sdk has as a library.

Run in a process of its own, since Go's runtime comes with the library and would stay in pytest's.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.clients import Program, miss


def find_helm(home: Path) -> Program:
    """Give the command, logged in nowhere; see `call`."""
    if importlib.util.find_spec("helm_python") is None:
        miss("helm-python-sdk is not installed; it has wheels for x86_64 only")
    env = {
        "PYTHONPATH": str(Path(__file__).parents[2]),  # wherever the command runs
        "DOCKER_CONFIG": str(home),  # Helm looks there even where no client is handed on
    }
    return Program((sys.executable, "-m", __name__), home, env)


def call(helm: Program, function: str, *arguments: str, **options: Any) -> Any:
    """Call a function of the library, insist on success, and give its answer."""
    return json.loads(helm.output(json.dumps([function, arguments, options])))


def refusal(helm: Program, function: str, *arguments: str, **options: Any) -> str:
    """Call a function that must fail, and give what Helm says."""
    done = helm.run(json.dumps([function, arguments, options]))
    assert done.returncode != 0, done.stdout
    return done.stderr


def main() -> None:
    """Do one call, of a registry client's method if it has it, else of the module's function."""
    import helm_python  # noqa: PLC0415 - there on x86_64 only

    function, arguments, options = json.loads(sys.argv[1])
    file = Path(os.environ["DOCKER_CONFIG"]) / "config.json"
    with helm_python.RegistryClient(plain_http=True, credentials_file=file) as client:
        place = client if hasattr(client, function) else helm_python
        answer = getattr(place, function)(*arguments, **options)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
