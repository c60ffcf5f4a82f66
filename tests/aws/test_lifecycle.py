"""PutLifecyclePolicy, GetLifecyclePolicy, DeleteLifecyclePolicy and the preview."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import make_image
from tests.support.lifecycle import ARCHIVE, policy, rule
from tests.support.pushing import ids_of, push_image, push_index
from tests.support.registry import wait_until
from tests.support.server import ACCOUNT, Server, running_server
from tests.support.signing import call, error_of

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

KEEP_ONE = policy(rule(1))
KEEP_ONE_TAGGED = policy(rule(1, "tagged", tagPatternList=["v*"]))
UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def three(ecr: ECRClient, repository: str) -> list[str]:
    """Images tagged v1 and w1, untagged, and tagged v3, in this order; their digests."""
    return [
        push_image(ecr, repository, make_image(), "v1", "w1"),
        push_image(ecr, repository, make_image()),
        push_image(ecr, repository, make_image(), "v3"),
    ]


def preview(ecr: ECRClient, repository: str, text: str, **members: Any) -> Any:
    """Preview a policy and give the answer."""
    ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=text)
    return ecr.get_lifecycle_policy_preview(repositoryName=repository, **members)


def named_ids(three: list[str]) -> dict[str, Any]:
    """Give ways to name images of the three, and others, in words."""
    return {
        "digest 0": {"imageDigest": three[0]},
        "digest 1": {"imageDigest": three[1]},
        "digest 0, tag v1": {"imageDigest": three[0], "imageTag": "v1"},
        "digest 1, tag v1": {"imageDigest": three[1], "imageTag": "v1"},
        "digest unknown": {"imageDigest": UNKNOWN},
        **{f"tag {tag}": {"imageTag": tag} for tag in ("v1", "w1", "v3", "unknown")},
    }


def refusal_of(server: Server, operation: str, **members: Any) -> tuple[str, str]:
    """Give code and message of a refused call."""
    status, code, message = error_of(call(server, operation, json.dumps(members).encode()))
    assert status == 400
    return code, message


def test_put_lifecycle_policy_answers_what_it_was_given(ecr: ECRClient, repository: str) -> None:
    answer = ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository
    assert answer["lifecyclePolicyText"] == KEEP_ONE
    assert "lastEvaluatedAt" not in answer


def test_put_lifecycle_policy_replaces(ecr: ECRClient, repository: str) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE_TAGGED)

    kept = ecr.get_lifecycle_policy(repositoryName=repository)
    assert kept["lifecyclePolicyText"] == KEEP_ONE_TAGGED


def test_get_lifecycle_policy_tells_of_no_evaluation_before_the_first(
    ecr: ECRClient, repository: str
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    answer = ecr.get_lifecycle_policy(repositoryName=repository)

    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository
    assert answer["lastEvaluatedAt"] == datetime.fromtimestamp(0, UTC)


def test_delete_lifecycle_policy_answers_what_was_deleted(ecr: ECRClient, repository: str) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    answer = ecr.delete_lifecycle_policy(repositoryName=repository)

    assert answer["lifecyclePolicyText"] == KEEP_ONE
    assert answer["lastEvaluatedAt"] == datetime.fromtimestamp(0, UTC)
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName=repository)


def test_lifecycle_policy_goes_with_its_repository(
    ecr: ECRClient, repository: str, three: list[str]
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)
    assert len(preview(ecr, repository, KEEP_ONE)["previewResults"]) == len(three) - 1
    ecr.delete_repository(repositoryName=repository, force=True)
    ecr.create_repository(repositoryName=repository)

    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName=repository)
    with pytest.raises(ecr.exceptions.LifecyclePolicyPreviewNotFoundException):
        ecr.get_lifecycle_policy_preview(repositoryName=repository)


@pytest.mark.parametrize(
    ("operation", "members", "what"),
    [
        pytest.param("GetLifecyclePolicy", {}, "", id="get"),
        pytest.param("DeleteLifecyclePolicy", {}, "", id="delete"),
        pytest.param("StartLifecyclePolicyPreview", {}, "", id="start-preview"),
        pytest.param("GetLifecyclePolicyPreview", {}, "Preview", id="get-preview"),
    ],
)
def test_lifecycle_policy_that_does_not_exist(
    server: Server, repository: str, operation: str, members: Any, what: str
) -> None:
    code, message = refusal_of(server, operation, repositoryName=repository, **members)

    assert code == f"LifecyclePolicy{what}NotFoundException"
    assert message == (
        f"Lifecycle policy{' ' * bool(what)}{what.lower()} does not exist for the repository "
        f"with name '{repository}' in the registry with id '{ACCOUNT}'"
    )


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        pytest.param("PutLifecyclePolicy", {"lifecyclePolicyText": KEEP_ONE}, id="put"),
        pytest.param("GetLifecyclePolicy", {}, id="get"),
        pytest.param("DeleteLifecyclePolicy", {}, id="delete"),
        pytest.param("StartLifecyclePolicyPreview", {}, id="start-preview"),
        pytest.param("GetLifecyclePolicyPreview", {}, id="get-preview"),
    ],
)
@pytest.mark.parametrize("account", [ACCOUNT, "210987654321"], ids=["own", "foreign"])
def test_lifecycle_policy_of_an_unknown_repository(
    server: Server, operation: str, members: Any, account: str
) -> None:
    code, message = refusal_of(
        server, operation, repositoryName="test/unknown", registryId=account, **members
    )

    assert code == "RepositoryNotFoundException"
    assert message == (
        "The repository with name 'test/unknown' does not exist in the registry with id "
        f"'{account}'"
    )


@pytest.mark.parametrize("operation", ["PutLifecyclePolicy", "StartLifecyclePolicyPreview"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "{}".ljust(99),
            "'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length greater "
            "than or equal to 100'",
            id="short",
        ),
        pytest.param(
            KEEP_ONE.ljust(30721),
            "'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length less "
            "than or equal to 30720'",
            id="long",
        ),
        pytest.param(
            "x" * 100,
            "'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation "
            "failure: Could not map policyString into LifecyclePolicy.'",
            id="no-json",
        ),
        pytest.param(
            policy(rule(1, countType="sinceImagePushed", countUnit="weeks")),
            "'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation "
            "failure: instance failed to match exactly one schema (matched 0 out of 4)\n'",
            id="schema",
        ),
    ],
)
def test_lifecycle_policy_text_is_checked(
    server: Server, repository: str, operation: str, text: str, fault: str
) -> None:
    code, message = refusal_of(
        server, operation, repositoryName=repository, lifecyclePolicyText=text
    )

    assert (code, message) == ("InvalidParameterException", f"Invalid parameter at {fault}")


def test_put_lifecycle_policy_takes_the_longest_text(ecr: ECRClient, repository: str) -> None:
    text = KEEP_ONE.ljust(30720)

    answer = ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=text)

    assert answer["lifecyclePolicyText"] == text


def test_start_lifecycle_policy_preview_answers_that_it_is_in_progress(
    ecr: ECRClient, repository: str
) -> None:
    answer = ecr.start_lifecycle_policy_preview(
        repositoryName=repository, lifecyclePolicyText=KEEP_ONE
    )

    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository
    assert answer["lifecyclePolicyText"] == KEEP_ONE
    assert answer["status"] == "IN_PROGRESS"


def test_start_lifecycle_policy_preview_takes_the_repositorys_policy(
    ecr: ECRClient, repository: str
) -> None:
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=KEEP_ONE_TAGGED)

    answer = ecr.start_lifecycle_policy_preview(repositoryName=repository)

    assert answer["lifecyclePolicyText"] == KEEP_ONE_TAGGED


def test_start_lifecycle_policy_preview_puts_no_policy(ecr: ECRClient, repository: str) -> None:
    ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName=repository)


def test_get_lifecycle_policy_preview_describes_images(
    ecr: ECRClient, repository: str, three: list[str]
) -> None:
    details = ecr.describe_images(repositoryName=repository)["imageDetails"]

    answer = preview(ecr, repository, KEEP_ONE)

    del answer["ResponseMetadata"]
    assert answer == {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "lifecyclePolicyText": KEEP_ONE,
        "status": "COMPLETE",
        "previewResults": [
            {
                "imageDigest": three[0],
                "imageTags": ["v1", "w1"],
                "imagePushedAt": details[0]["imagePushedAt"],
                "action": {"type": "EXPIRE"},
                "appliedRulePriority": 1,
                "storageClass": "STANDARD",
            },
            {
                "imageDigest": three[1],
                "imagePushedAt": details[1]["imagePushedAt"],
                "action": {"type": "EXPIRE"},
                "appliedRulePriority": 1,
                "storageClass": "STANDARD",
            },
        ],
        "summary": {"expiringImageTotalCount": 2},
    }
    assert [one["imageDigest"] for one in details] == three


@pytest.mark.usefixtures("three")
def test_get_lifecycle_policy_preview_tells_transitions(ecr: ECRClient, repository: str) -> None:
    text = policy(rule(1, "tagged", tagPatternList=["v*"], action=ARCHIVE))

    answer = preview(ecr, repository, text)

    assert [one["action"] for one in answer["previewResults"]] == [
        {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
    ]
    assert answer["summary"] == {
        "expiringImageTotalCount": 0,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
    }


def test_get_lifecycle_policy_preview_of_an_empty_repository(
    ecr: ECRClient, repository: str
) -> None:
    answer = preview(ecr, repository, KEEP_ONE)

    assert (answer["status"], answer["previewResults"]) == ("COMPLETE", [])
    assert answer["summary"] == {"expiringImageTotalCount": 0}
    assert "nextToken" not in answer


def test_get_lifecycle_policy_preview_spares_children_of_indexes(
    ecr: ECRClient, repository: str
) -> None:
    push_index(ecr, repository, make_image(), make_image(), tag="v1")
    old = push_index(ecr, repository, make_image(), tag="v2")
    push_image(ecr, repository, make_image(), "v3")

    answer = preview(ecr, repository, policy(rule(1, "tagged", tagPrefixList=["v2"]), rule(2)))

    digests = {digest for digest, tag in ids_of(ecr, repository) if tag == "v1"}
    assert {one["imageDigest"] for one in answer["previewResults"]} == digests
    assert old not in digests


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param({"tagStatus": "TAGGED"}, [0], id="tagged"),
        pytest.param({"tagStatus": "UNTAGGED"}, [1], id="untagged"),
        pytest.param({"tagStatus": "ANY"}, [0, 1], id="any"),
        pytest.param({}, [0, 1], id="nothing"),
    ],
)
def test_get_lifecycle_policy_preview_filters(
    ecr: ECRClient, repository: str, three: list[str], wanted: Any, expected: list[int]
) -> None:
    answer = preview(ecr, repository, KEEP_ONE, filter=wanted)

    assert [one["imageDigest"] for one in answer["previewResults"]] == [
        three[at] for at in expected
    ]
    assert answer["summary"] == {"expiringImageTotalCount": 2}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        pytest.param(["digest 1"], [1], id="digest"),
        pytest.param(["tag w1"], [0], id="tag"),
        pytest.param(["digest 0, tag v1"], [0], id="both"),
        pytest.param(["digest 1, tag v1"], [], id="tag-of-another"),
        pytest.param(["tag v1", "tag w1"], [0], id="same-twice"),
        pytest.param(["digest 1", "digest 0"], [0, 1], id="oldest-first"),
        pytest.param(["tag v3"], [], id="kept"),
        pytest.param(["tag unknown"], [], id="unknown-tag"),
        pytest.param(["digest unknown"], [], id="unknown-digest"),
    ],
)
def test_get_lifecycle_policy_preview_of_named_images(
    ecr: ECRClient, repository: str, three: list[str], named: list[str], expected: list[int]
) -> None:
    ids = named_ids(three)

    answer = preview(ecr, repository, KEEP_ONE, imageIds=[ids[name] for name in named])

    assert [one["imageDigest"] for one in answer["previewResults"]] == [
        three[at] for at in expected
    ]
    assert "nextToken" not in answer


@pytest.mark.parametrize(
    ("status", "expected"),
    [pytest.param("TAGGED", 0, id="tagged"), pytest.param("UNTAGGED", 1, id="untagged")],
)
def test_get_lifecycle_policy_preview_filters_named_images(
    ecr: ECRClient, repository: str, three: list[str], status: str, expected: int
) -> None:
    image_ids = [{"imageDigest": digest} for digest in three]

    answer = preview(ecr, repository, KEEP_ONE, imageIds=image_ids, filter={"tagStatus": status})

    assert [one["imageDigest"] for one in answer["previewResults"]] == [three[expected]]


@pytest.mark.usefixtures("three")
def test_get_lifecycle_policy_preview_stays_as_it_was_evaluated(
    ecr: ECRClient, repository: str
) -> None:
    before = preview(ecr, repository, KEEP_ONE)["previewResults"]
    push_image(ecr, repository, make_image(), "v4")

    after = ecr.get_lifecycle_policy_preview(repositoryName=repository)["previewResults"]

    assert after == before


@pytest.mark.parametrize(
    ("members", "constraint"),
    [
        pytest.param(
            {"imageIds": [{"imageTag": "v1"}], "maxResults": 1},
            "'imageIds' failed to satisfy constraint: 'nextToken and maxResults cannot be used "
            "with imageIds'",
            id="ids-and-page",
        ),
        pytest.param(
            {"imageIds": [{}]},
            "'imageIds' failed to satisfy constraint: 'Invalid request parameters: both tag and "
            "digest cannot be null'",
            id="no-id",
        ),
        pytest.param(
            {"maxResults": 101},
            "'maxResults' failed to satisfy constraint: 'Member must have value less than or "
            "equal to 100'",
            id="large-page",
        ),
        pytest.param(
            {"nextToken": "mine"},
            "'nextToken' failed to satisfy constraint: 'Invalid token'",
            id="made-up-token",
        ),
    ],
)
def test_get_lifecycle_policy_preview_refuses(
    ecr: ECRClient, server: Server, repository: str, members: Any, constraint: str
) -> None:
    preview(ecr, repository, KEEP_ONE)

    code, message = refusal_of(
        server, "GetLifecyclePolicyPreview", repositoryName=repository, **members
    )

    assert code == "InvalidParameterException"
    assert message == f"Invalid parameter at {constraint}"


@pytest.mark.usefixtures("three")
def test_get_lifecycle_policy_preview_refuses_the_token_of_another_preview(
    ecr: ECRClient, server: Server, repository: str
) -> None:
    token = preview(ecr, repository, KEEP_ONE, maxResults=1)["nextToken"]
    preview(ecr, repository, KEEP_ONE)

    code, message = refusal_of(
        server, "GetLifecyclePolicyPreview", repositoryName=repository, nextToken=token
    )

    assert code == "InvalidParameterException"
    assert message == (
        "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_paginator_gives_all_results_of_a_preview(
    ecr: ECRClient, make_repository: Callable[[], str], size: int
) -> None:
    repository = make_repository()
    pushed = [push_image(ecr, repository, make_image(10), f"v{at}") for at in range(5)]
    preview(ecr, repository, KEEP_ONE)
    paginator = ecr.get_paginator("get_lifecycle_policy_preview")

    pages = paginator.paginate(repositoryName=repository, PaginationConfig={"PageSize": size})

    found = pages.build_full_result()["previewResults"]
    assert [one["imageDigest"] for one in found] == pushed[:-1]


def test_waiter_sees_the_preview_complete(ecr: ECRClient, repository: str) -> None:
    ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=KEEP_ONE)

    ecr.get_waiter("lifecycle_policy_preview_complete").wait(repositoryName=repository)

    answer = ecr.get_lifecycle_policy_preview(repositoryName=repository)
    assert answer["status"] == "COMPLETE"


def test_server_carries_out_lifecycle_policies(tmp_path: Path) -> None:
    often = {"ECRATE_COLLECT_EVERY": "0.1", "ECRATE_LIFECYCLE_EVERY": "0.1"}
    with running_server(tmp_path / "data", "--workers", "2", env=often) as server:
        ecr = server.ecr()
        ecr.create_repository(repositoryName="test/one")
        for at in range(3):
            push_image(ecr, "test/one", make_image(10), f"v{at}")
        ecr.put_lifecycle_policy(repositoryName="test/one", lifecyclePolicyText=KEEP_ONE)

        wait_until(lambda: len(ids_of(ecr, "test/one")) == 1)

        ((_, tag),) = ids_of(ecr, "test/one")
        wait_until(
            lambda: (
                ecr.get_lifecycle_policy(repositoryName="test/one")["lastEvaluatedAt"].year > 1970
            )
        )
    assert tag == "v2"
