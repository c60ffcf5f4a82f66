"""Policies that tests set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

PULLING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:ListImages",
)


def policy(*statements: dict[str, Any]) -> str:
    """Give the text of a policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, **elements: Any) -> dict[str, Any]:
    """Give a statement that allows the actions."""
    return {"Effect": "Allow", "Action": list(actions), **elements}


def deny(*actions: str, **elements: Any) -> dict[str, Any]:
    """Give a statement that denies the actions."""
    return {"Effect": "Deny", "Action": list(actions), **elements}


def open_to_all(ecr: ECRClient, repository: str) -> None:
    """Let everybody pull from a repository, the nameless included."""
    text = policy(allow(*PULLING, Principal="*"))
    ecr.set_repository_policy(repositoryName=repository, policyText=text)
