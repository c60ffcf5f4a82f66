from __future__ import annotations

import os
import subprocess
import sys

import pytest

_HEAVY = (
    *("rich", "aiohttp", "botocore", "boto3", "http.client", "jmespath", "asyncio"),
    *("ruamel.yaml", "subprocess", "difflib"),
)
_PROGRAM = """
import sys
from ecrate.cli import main
code = main(sys.argv[2:])
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
print(",".join(loaded), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        pytest.param(["--version"], "", id="version"),
        pytest.param(["ecr", "help"], "", id="help"),
        pytest.param(["ecr", "put-image", "help"], "", id="help of an operation"),
        pytest.param(["ecr", "put-image", "--generate-cli-skeleton"], "", id="skeleton"),
        pytest.param(["ecr", "describe-registry"], "http.client", id="call"),
    ],
)
def test_commands_import_only_what_they_need(words: list[str], allowed: str) -> None:
    env = os.environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "a"}
    env |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, ",".join(_HEAVY), *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr.splitlines()[-1] == allowed
