"""Users and roles, made with `ecrate iam` on a running server's data."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tests.support.server import REGION, SESSION, Server


def iam(server: Server, *arguments: str) -> Any:
    """Run an `ecrate iam` command and give what it prints."""
    done = server.iam(*arguments)
    done.check_returncode()
    return json.loads(done.stdout) if done.stdout else None


def make_user(server: Server, name: str, policy: str) -> Server:
    """Make a user with one policy; give the server as that user sees it."""
    iam(server, "create-user", name)
    iam(server, "put-user-policy", name, "only", policy)
    key = iam(server, "create-access-key", name)
    return dataclasses.replace(server, key_id=key["id"], secret=key["secret"])


def assume_role(server: Server, role_arn: str, session: str) -> dict[str, str]:
    """Take a role; give the credentials as boto3's arguments."""
    sts = SESSION.client(
        "sts",
        region_name=REGION,
        endpoint_url=server.endpoint,
        aws_access_key_id=server.key_id,
        aws_secret_access_key=server.secret,
    )
    made = sts.assume_role(RoleArn=role_arn, RoleSessionName=session)["Credentials"]
    return {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
        "aws_session_token": made["SessionToken"],
    }
