"""aws_ecr_repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support import terraform as tf
from tests.support.images import make_image
from tests.support.pushing import push_image
from tests.support.server import REGION, Server
from tests.support.terraform import State, apply, drift

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

FILTERS = [{"filter": "dev*", "filter_type": "WILDCARD"}]
OTHER_FILTERS = [*FILTERS, {"filter": "latest", "filter_type": "WILDCARD"}]
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


REPOSITORIES: dict[str, State] = {
    "plain": {},
    "immutable": {"image_tag_mutability": "IMMUTABLE"},
    "exclusions": {
        "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
        "image_tag_mutability_exclusion_filter": OTHER_FILTERS,
    },
    "scanning": {"scan_on_push": True},
    "not-scanning": {"scan_on_push": False},
    "tags": {"tags": {"stage": "test", "empty": ""}},
    "aes": {"encryption_configuration": {"encryption_type": "AES256", "kms_key": ""}},
    "key": {"encryption_configuration": {"encryption_type": "KMS", "kms_key": KEY}},
}


@pytest.mark.parametrize("attributes", REPOSITORIES.values(), ids=REPOSITORIES)
def test_repository_is_as_planned(
    ecr: ECRClient, dev_server: Server, account: str, attributes: State
) -> None:
    plan = {"name": "app/web", **attributes}

    state = apply(tf.Repository(ecr), plan)

    assert drift(plan, state) == {}
    assert state["arn"] == f"arn:aws:ecr:{REGION}:{account}:repository/app/web"
    assert state["registry_id"] == account
    assert state["repository_url"] == f"{dev_server.host}/app/web"


def test_repository_gets_the_managed_key(ecr: ECRClient, account: str) -> None:
    block = {"encryption_type": "KMS"}

    state = apply(tf.Repository(ecr), {"name": "app", "encryption_configuration": block})

    # The attribute is computed: what is read once has to stay.
    assert state["encryption_configuration"] == {
        "encryption_type": "KMS",
        "kms_key": f"arn:aws:kms:{REGION}:{account}:alias/aws/ecr",
    }
    assert tf.Repository(ecr).read("app") == state


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            {"image_tag_mutability": "MUTABLE"}, {"image_tag_mutability": "IMMUTABLE"}, id="mode"
        ),
        pytest.param(
            {"image_tag_mutability": "IMMUTABLE"}, REPOSITORIES["exclusions"], id="to-exclusions"
        ),
        pytest.param(
            REPOSITORIES["exclusions"],
            {**REPOSITORIES["exclusions"], "image_tag_mutability_exclusion_filter": FILTERS},
            id="other-exclusions",
        ),
        pytest.param(
            REPOSITORIES["exclusions"],
            {"image_tag_mutability": "MUTABLE", "image_tag_mutability_exclusion_filter": []},
            id="from-exclusions",
        ),
        pytest.param({"scan_on_push": False}, {"scan_on_push": True}, id="scan"),
        pytest.param({"scan_on_push": True}, {"scan_on_push": False}, id="scan-not"),
        pytest.param({"tags": {"a": "1", "b": "2"}}, {"tags": {"b": "3", "c": "4"}}, id="tags"),
        pytest.param({"tags": {"a": "1"}}, {"tags": {}}, id="no-tags"),
    ],
)
def test_repository_is_updated(ecr: ECRClient, before: State, after: State) -> None:
    repository = tf.Repository(ecr)
    first = apply(repository, {"name": "app", **before})
    kept = {name: value for name, value in first.items() if name not in {*before, *after}}

    state = apply(repository, {"name": "app", **kept, **after}, first)

    assert drift({**kept, **after}, state) == {}


def test_repository_that_others_changed_drifts(ecr: ECRClient) -> None:
    plan = {"name": "app", "image_tag_mutability": "IMMUTABLE", "tags": {"owner": "web"}}
    repository = tf.Repository(ecr)
    arn = apply(repository, plan)["arn"]
    ecr.put_image_tag_mutability(repositoryName="app", imageTagMutability="MUTABLE")
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "by", "Value": "hand"}])

    state = repository.read("app")

    assert state is not None
    found = drift(plan, state)
    assert found == {"image_tag_mutability": "MUTABLE", "tags": {"owner": "web", "by": "hand"}}
    assert drift(plan, apply(repository, plan, state)) == {}


def test_repository_that_others_deleted_is_made_again(ecr: ECRClient) -> None:
    repository = tf.Repository(ecr)
    apply(repository, {"name": "app"})
    ecr.delete_repository(repositoryName="app")

    gone = repository.read("app")

    assert gone is None
    assert apply(repository, {"name": "app"})["name"] == "app"


def test_repository_is_imported(ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="by/hand", tags=[{"Key": "a", "Value": "b"}])

    state = tf.Repository(ecr).read("by/hand")

    assert state is not None
    assert (state["name"], state["tags"]) == ("by/hand", {"a": "b"})


def test_repository_with_images_is_deleted_by_force_only(ecr: ECRClient) -> None:
    repository = tf.Repository(ecr)
    state = apply(repository, {"name": "app"})
    push_image(ecr, "app", make_image(), "v1")
    with pytest.raises(ClientError) as caught:
        repository.delete(state)
    kept = repository.read("app")

    repository.delete(state | {"force_delete": True})

    assert tf.code_of(caught.value) == "RepositoryNotEmptyException"
    assert kept == state
    assert repository.read("app") is None


def test_repository_that_is_gone_is_deleted_without_complaint(ecr: ECRClient) -> None:
    repository = tf.Repository(ecr)
    state = apply(repository, {"name": "app"})
    repository.delete(state)

    repository.delete(state)

    assert repository.read("app") is None


def test_repository_whose_name_is_taken_is_not_created(ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="app")

    with pytest.raises(ClientError) as caught:
        tf.Repository(ecr).create({"name": "app"})

    assert tf.code_of(caught.value) == "RepositoryAlreadyExistsException"
