"""The editor of lifecycle policies, which shows what a policy would do as it is written."""

from __future__ import annotations

from typing import Final

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest, repository_path
from ecrate.domain.errors import EcrateError, LifecyclePolicyNotFound
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.operations import lifecycle
from ecrate.operations.repositories import describe_repositories

_SHOWN: Final = 200
_EXAMPLE: Final = """{
  "rules": [
    {
      "rulePriority": 1,
      "description": "Keep the last 10 images",
      "selection": {
        "tagStatus": "any",
        "countType": "imageCountMoreThan",
        "countNumber": 10
      },
      "action": { "type": "expire" }
    }
  ]
}
"""
_ON_POLICY: Final = (
    *("GetLifecyclePolicy", "PutLifecyclePolicy", "DeleteLifecyclePolicy"),
    *("StartLifecyclePolicyPreview", "GetRepositoryPolicy", "DescribeImages"),
)


def show_policy(request: ConsoleRequest) -> Response:
    repository = describe_repositories(request.core, request.caller, [request.ref])[0]
    try:
        found = lifecycle.get_lifecycle_policy(request.core, request.caller, request.ref)
    except LifecyclePolicyNotFound:
        found = None
    return request.page(
        "lifecycle.html",
        repository=repository,
        path=repository_path(request.name),
        place="lifecycle",
        text=_EXAMPLE if found is None else found.text,
        found=found,
        may=request.may(*_ON_POLICY),
        told=request.query.get("told", ""),
    )


def preview(request: ConsoleRequest) -> Response:
    try:
        policy = parse_lifecycle_policy(request.form.get("text", ""))
    except EcrateError as error:
        return request.part("refused.html", request.name, message=str(error))
    evaluation, sizes = lifecycle.judge_images(request.core, request.caller, request.ref, policy)
    return request.part(
        "preview.html",
        request.name,
        path=repository_path(request.name),
        verdicts=evaluation.verdicts[:_SHOWN],
        count=len(evaluation.verdicts),
        sizes=sizes,
        total=sum(
            sizes.get(one.image.id, 0) for one in evaluation.verdicts if one.action == "expire"
        ),
    )


def put_policy(request: ConsoleRequest) -> Response:
    policy = parse_lifecycle_policy(request.form.get("text", ""))
    lifecycle.put_lifecycle_policy(request.core, request.caller, request.ref, policy)
    return request.go(repository_path(request.name, "lifecycle"), told="lifecycle-saved")


def delete_policy(request: ConsoleRequest) -> Response:
    lifecycle.delete_lifecycle_policy(request.core, request.caller, request.ref)
    return request.go(repository_path(request.name, "lifecycle"), told="policy-deleted")
