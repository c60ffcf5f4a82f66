"""The editor of repository policies, and what one would decide."""

from __future__ import annotations

import contextlib
from typing import Final

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest, repository_path
from ecrate.domain.errors import InvalidParameter, RepositoryPolicyNotFound
from ecrate.domain.policies import InvalidPolicyError, PolicyKind, parse_policy
from ecrate.operations import identities, policies
from ecrate.operations.repositories import describe_repositories

_EXAMPLE: Final = """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Pull",
      "Effect": "Allow",
      "Principal": { "AWS": "*" },
      "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }
  ]
}
"""
ACTIONS: Final = (
    *("BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability", "PutImage"),
    *("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "ListImages"),
    *("DescribeImages", "BatchDeleteImage", "DeleteRepository", "SetRepositoryPolicy"),
)
_ON_POLICY: Final = (
    *("GetRepositoryPolicy", "SetRepositoryPolicy", "DeleteRepositoryPolicy"),
    *("GetLifecyclePolicy", "DescribeImages"),
)


def show_policy(request: ConsoleRequest) -> Response:
    repository = describe_repositories(request.core, request.caller, [request.ref])[0]
    try:
        text = policies.get_repository_policy(request.core, request.caller, request.ref)
        is_set = True
    except RepositoryPolicyNotFound:
        text, is_set = _EXAMPLE, False
    return request.page(
        "policy.html",
        repository=repository,
        path=repository_path(request.name),
        place="policy",
        text=text,
        is_set=is_set,
        actions=ACTIONS,
        principals=_principals(request),
        may=request.may(*_ON_POLICY),
        told=request.query.get("told", ""),
    )


def _principals(request: ConsoleRequest) -> list[str]:
    """Give those whose rights the caller may ask about: the root all, others their own."""
    if not request.caller.principal_id:
        return []
    if request.caller.is_root:
        found = identities.list_principals(request.core, request.caller.registry.id)
        return [one.arn for one in found]
    return [request.caller.arn]


def check(request: ConsoleRequest) -> Response:
    """Tell whether the text is a policy, and what it would decide."""
    # Who may not read the policy there is, learns nothing from what takes its place either.
    with contextlib.suppress(RepositoryPolicyNotFound):
        policies.get_repository_policy(request.core, request.caller, request.ref)
    text, arn = request.form.get("text", ""), request.form.get("principal", "")
    action = request.form.get("action", "")
    try:
        parse_policy(text, PolicyKind.REPOSITORY)
    except InvalidPolicyError as error:
        return request.part(
            "refused.html", request.name, message=f"This is no repository policy: {error}."
        )
    decision = None
    if arn in _principals(request) and action in ACTIONS:
        region = request.caller.registry.region
        decision = identities.simulate(request.core, arn, region, action, request.name, draft=text)
    return request.part(
        "decision.html", request.name, decision=decision, principal=arn, action=action
    )


def put_policy(request: ConsoleRequest) -> Response:
    text = request.form.get("text", "")
    try:
        parse_policy(text, PolicyKind.REPOSITORY)
    except InvalidPolicyError as error:
        raise InvalidParameter("PolicyText", str(error)) from None
    policies.set_repository_policy(
        request.core,
        request.caller,
        request.ref,
        text,
        force=request.form.get("force") == "yes",
    )
    return request.go(repository_path(request.name, "policy"), told="saved")


def delete_policy(request: ConsoleRequest) -> Response:
    policies.delete_repository_policy(request.core, request.caller, request.ref)
    return request.go(repository_path(request.name, "policy"), told="policy-deleted")
