"""The operations on pull through cache rules, and what BatchGetImage makes of rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.core import DAY
from tests.support.door import Account
from tests.support.images import OCI_MANIFEST, make_image
from tests.support.policies import allow, policy
from tests.support.upstream import TOKEN, USER, Handler, refusing, sending

RULE = "PullThroughCacheRule"
INVALID = "InvalidParameterException"
TEMPLATE: dict[str, Any] = {
    "prefix": "up",
    "imageTagMutability": "IMMUTABLE",
    "resourceTags": [{"Key": "team", "Value": "a"}],
    "repositoryPolicy": policy(allow("ecr:BatchGetImage", Principal="*")),
}


def pull(account: Account, name: str, *tags: str) -> dict[str, Any]:
    ids = [{"imageTag": tag} for tag in tags]
    return account.call("BatchGetImage", repositoryName=f"up/{name}", imageIds=ids)


def manifests(answer: dict[str, Any]) -> list[str]:
    return [image["imageManifest"] for image in answer["images"]]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("public.ecr.aws", "ecr-public"),
        ("registry.k8s.io", "k8s"),
        ("quay.io", "quay"),
        ("registry-1.docker.io", "docker-hub"),
        ("mine.azurecr.io", "azure-container-registry"),
        ("ghcr.io", "github-container-registry"),
        ("registry.gitlab.com", "gitlab-container-registry"),
        ("cgr.dev", "chainguard"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr"),
    ],
)
def test_create_pull_through_cache_rule_knows_the_registries_of_ecr(
    account: Account, url: str, kind: str
) -> None:
    arn = account.secret("login")

    made = account.call(
        f"Create{RULE}", ecrRepositoryPrefix="one", upstreamRegistryUrl=url, credentialArn=arn
    )

    assert made == {
        "registryId": account.id,
        "ecrRepositoryPrefix": "one",
        "upstreamRegistryUrl": url,
        "upstreamRegistry": kind,
        "credentialArn": arn,
        "createdAt": account.clock.now,
    }


@pytest.mark.parametrize("url", ["registry-1.docker.io", "ghcr.io", "mine.azurecr.io", "cgr.dev"])
def test_create_pull_through_cache_rule_wants_a_secret(account: Account, url: str) -> None:
    _, code, message = account.refuse(
        f"Create{RULE}", ecrRepositoryPrefix="one", upstreamRegistryUrl=url
    )

    assert code == INVALID
    assert "'credentialArn'" in message


@pytest.mark.parametrize(
    "url", ["", "ftp://quay.io", "quay.io/path", "quay.io:0", "quay.io:70000", "a b", "quay.io\n"]
)
def test_create_pull_through_cache_rule_refuses_what_is_no_host(account: Account, url: str) -> None:
    _, code, message = account.refuse(
        f"Create{RULE}", ecrRepositoryPrefix="one", upstreamRegistryUrl=url
    )

    assert code == INVALID
    assert "'upstreamRegistryUrl'" in message


def test_create_pull_through_cache_rule_refuses_another_registry(account: Account) -> None:
    _, code, message = account.refuse(
        f"Create{RULE}",
        ecrRepositoryPrefix="one",
        upstreamRegistryUrl="quay.io",
        upstreamRegistry="k8s",
    )

    assert code == INVALID
    assert "'upstreamRegistry'" in message


def test_create_pull_through_cache_rule_refuses_a_path_out_of_the_secrets(
    account: Account,
) -> None:
    arn = account.secret("login").replace("login-AbCdEf", "../../../../secret")

    _, code, _ = account.refuse(
        f"Create{RULE}",
        ecrRepositoryPrefix="one",
        upstreamRegistryUrl="quay.io",
        credentialArn=arn,
    )

    assert code == "SecretNotFoundException"


def test_create_pull_through_cache_rule_takes_any_secret(account: Account) -> None:
    arn = account.secret("login", "no login")
    account.cache(credentialArn=arn)

    answer = account.call(f"Validate{RULE}", ecrRepositoryPrefix="up")

    assert answer["isValid"] is False
    assert f"The value of the secret with ARN '{arn}'" in answer["failure"]


def test_describe_pull_through_cache_rules_gives_them_in_order(account: Account) -> None:
    account.cache("two")
    account.cache("one", upstreamRepositoryPrefix="library")

    described = account.call("DescribePullThroughCacheRules")["pullThroughCacheRules"]

    url, now = account.door.upstream.url, account.clock.now
    assert described == [
        {
            "registryId": account.id,
            "ecrRepositoryPrefix": prefix,
            "upstreamRegistryUrl": url,
            "createdAt": now,
            "updatedAt": now,
            **more,
        }
        for prefix, more in (("one", {"upstreamRepositoryPrefix": "library"}), ("two", {}))
    ]


def test_describe_pull_through_cache_rules_refuses_names_with_pages(account: Account) -> None:
    _, code, _ = account.refuse(
        "DescribePullThroughCacheRules", ecrRepositoryPrefixes=["one"], maxResults=1
    )

    assert code == INVALID


def test_update_pull_through_cache_rule_changes_the_secret(account: Account) -> None:
    account.cache("one", customRoleArn=f"arn:aws:iam::{account.id}:role/kept")
    arn = account.secret("login")
    account.clock.advance(5)

    updated = account.call(f"Update{RULE}", ecrRepositoryPrefix="one", credentialArn=arn)

    assert updated == {
        "registryId": account.id,
        "ecrRepositoryPrefix": "one",
        "credentialArn": arn,
        "customRoleArn": f"arn:aws:iam::{account.id}:role/kept",
        "updatedAt": account.clock.now,
    }


def test_delete_pull_through_cache_rule_leaves_what_it_brought(account: Account) -> None:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(), "v1", "v2")
    pull(account, name, "v1")

    deleted = account.call(f"Delete{RULE}", ecrRepositoryPrefix="up")

    assert deleted["upstreamRegistryUrl"] == account.door.upstream.url
    answer = pull(account, name, "v1", "v2")
    assert manifests(answer) == [image.manifest]
    assert [one["failureCode"] for one in answer["failures"]] == ["ImageNotFound"]


def test_validate_pull_through_cache_rule_that_works(account: Account) -> None:
    account.cache()

    assert account.call(f"Validate{RULE}", ecrRepositoryPrefix="up") == {
        "registryId": account.id,
        "ecrRepositoryPrefix": "up",
        "upstreamRegistryUrl": account.door.upstream.url,
        "isValid": True,
    }


def test_validate_pull_through_cache_rule_tells_what_is_wrong(account: Account) -> None:
    account.call(
        f"Create{RULE}", ecrRepositoryPrefix="up", upstreamRegistryUrl="http://127.0.0.1:1"
    )

    answer = account.call(f"Validate{RULE}", ecrRepositoryPrefix="up")

    assert answer["isValid"] is False
    assert "Connection refused" in answer["failure"]


def test_batch_get_image_pulls_several_at_once(account: Account) -> None:
    name = account.cache()
    images = [account.door.upstream.add(name, make_image(), tag) for tag in ("v1", "v2")]

    answer = pull(account, name, "v1", "v3", "v2")

    assert manifests(answer) == [image.manifest for image in images]
    assert answer["failures"] == [
        {
            "imageId": {"imageTag": "v3"},
            "failureCode": "ImageNotFound",
            "failureReason": "Requested image not found",
        }
    ]


def test_batch_get_image_asks_upstream_by_its_own_name(account: Account) -> None:
    account.cache("up", upstreamRepositoryPrefix="of")
    image = account.door.upstream.add(f"of/{account.id}", make_image(), "v1")

    answer = pull(account, account.id, "v1")

    assert manifests(answer) == [image.manifest]


def test_batch_get_image_asks_upstream_once_a_day(account: Account) -> None:
    name = account.cache()
    account.door.upstream.add(name, make_image(), "v1")
    path = f"/v2/{name}/manifests/v1"
    pull(account, name, "v1")
    newer = account.door.upstream.add(name, make_image(), "v1")

    account.clock.advance(DAY - 1)
    assert manifests(pull(account, name, "v1")) != [newer.manifest]
    assert account.door.upstream.count(path) == 1
    account.clock.advance(2)
    assert manifests(pull(account, name, "v1")) == [newer.manifest]
    assert manifests(pull(account, name, "v1")) == [newer.manifest]
    assert account.door.upstream.count(path) == 2


def test_batch_get_image_asks_upstream_whether_a_tag_has_changed(account: Account) -> None:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(), "v1")
    pull(account, name, "v1")
    known: list[str | None] = []

    def note(handler: Handler) -> None:
        known.append(handler.headers["If-None-Match"])
        handler.answer()

    account.door.upstream.faults[f"/v2/{name}/manifests/v1"] = note
    account.clock.advance(DAY + 1)

    assert manifests(pull(account, name, "v1")) == [image.manifest]
    assert manifests(pull(account, name, "v1")) == [image.manifest]
    assert known == [f'"{image.digest}"']


def test_batch_get_image_serves_what_there_is_while_upstream_fails(account: Account) -> None:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(), "v1")
    path = f"/v2/{name}/manifests/v1"
    pull(account, name, "v1")
    account.door.upstream.faults[path] = refusing(429, Retry_After="600")
    account.clock.advance(DAY + 1)

    for _ in range(3):
        account.clock.advance(100)
        assert manifests(pull(account, name, "v1")) == [image.manifest]

    # The pause that upstream asked for has not passed.
    assert account.door.upstream.count(path) == 2


def test_batch_get_image_leaves_immutable_tags_alone(account: Account) -> None:
    name = account.cache()
    account.create(f"up/{name}", imageTagMutability="IMMUTABLE")
    image = account.door.upstream.add(name, make_image(), "v1")
    pull(account, name, "v1")
    account.door.upstream.add(name, make_image(), "v1")
    account.clock.advance(DAY + 1)

    assert manifests(pull(account, name, "v1")) == [image.manifest]


def test_batch_get_image_keeps_nothing_that_is_refused(account: Account) -> None:
    name = account.cache()
    account.door.upstream.faults[f"/v2/{name}/manifests/v1"] = sending(
        b'{"schemaVersion": 2, "manifests": [], "layers": []}', Content_Type=OCI_MANIFEST
    )

    _, code, message = account.refuse(
        "BatchGetImage", repositoryName=f"up/{name}", imageIds=[{"imageTag": "v1"}]
    )

    assert code == "UnableToGetUpstreamImageException"
    assert "must not have 'manifests'" in message
    assert account.call("DescribeRepositories")["repositories"] == []


def test_batch_get_image_sends_the_login(account: Account) -> None:
    name = account.cache(credentialArn=account.secret("login"))
    image = account.door.upstream.add(name, make_image(), "v1")
    account.door.upstream.login = f"{USER}:{TOKEN}"

    answer = pull(account, name, "v1")
    account.door.upstream.login = ""

    assert manifests(answer) == [image.manifest]


def test_batch_get_image_sends_no_login_to_a_foreign_realm(account: Account) -> None:
    name = account.cache(credentialArn=account.secret("login"))
    foreign = 'Bearer realm="http://127.0.0.2:1/token",service="x"'
    fault = refusing(401, WWW_Authenticate=foreign)
    account.door.upstream.faults[f"/v2/{name}/manifests/v1"] = fault

    (failure,) = pull(account, name, "v1")["failures"]

    assert failure["failureCode"] == "UpstreamAccessDenied"
    assert "not known to belong to it; the setting 'upstream_realms'" in failure["failureReason"]


def test_batch_get_image_tells_of_a_secret_that_went(account: Account) -> None:
    arn = account.secret("login")
    name = account.cache(credentialArn=arn)
    account.secret("login", "no JSON")

    (failure,) = pull(account, name, "v1")["failures"]

    assert failure["failureCode"] == "UpstreamAccessDenied"
    assert f"The value of the secret with ARN '{arn}'" in failure["failureReason"]


@pytest.mark.parametrize("applied", [["PULL_THROUGH_CACHE"], ["CREATE_ON_PUSH"]], ids=str)
def test_batch_get_image_makes_the_repository_by_template(
    account: Account, applied: list[str]
) -> None:
    is_applied = applied == ["PULL_THROUGH_CACHE"]
    account.call("CreateRepositoryCreationTemplate", appliedFor=applied, **TEMPLATE)
    name = account.cache()
    account.door.upstream.add(name, make_image(), "v1")

    pull(account, name, "v1")

    (made,) = account.call("DescribeRepositories")["repositories"]
    tags = account.call("ListTagsForResource", resourceArn=made["repositoryArn"])["tags"]
    assert made["imageTagMutability"] == ("IMMUTABLE" if is_applied else "MUTABLE")
    assert tags == (TEMPLATE["resourceTags"] if is_applied else [])


def test_describe_images_fetches_nothing(account: Account) -> None:
    name = account.cache()
    account.door.upstream.add(name, make_image(), "v1")

    _, code, _ = account.refuse("DescribeImages", repositoryName=f"up/{name}")

    assert code == "RepositoryNotFoundException"


def test_get_download_url_for_layer_fetches_it(account: Account) -> None:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(2000), "v1")
    (layer,) = image.layers
    pull(account, name, "v1")

    url = account.call(
        "GetDownloadUrlForLayer", repositoryName=f"up/{name}", layerDigest=layer.digest
    )["downloadUrl"]

    assert "/layers/" in url
    (found,) = account.call(
        "BatchCheckLayerAvailability", repositoryName=f"up/{name}", layerDigests=[layer.digest]
    )["layers"]
    assert (found["layerAvailability"], found["layerSize"]) == ("AVAILABLE", 2000)


def test_batch_get_image_leaves_events(account: Account) -> None:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(), "v1")
    pull(account, name, "v1")
    account.door.upstream.faults[f"/v2/{name}/manifests/v2"] = refusing(500)
    pull(account, name, "v2")

    with account.door.bench.reading() as tx:
        rows = tx.all(
            "SELECT kind, detail FROM outbox WHERE registry_id = ? ORDER BY id", account.id
        )

    common = {
        "rule-version": "1",
        "ecr-repository-prefix": "up",
        "repository-name": f"up/{name}",
        "upstream-registry-url": account.door.upstream.url,
    }
    details = [json.loads(detail) for kind, detail in rows if "Pull Through" in kind]
    assert details[0] == {
        **common,
        "sync-status": "SUCCESS",
        "image-tag": "v1",
        "image-digest": image.digest,
    }
    assert details[1].pop("failure-reason").endswith("it answers 500: TOLD: so it was told to")
    assert details[1] == {
        **common,
        "sync-status": "FAILED",
        "image-tag": "v2",
        "failure-code": "UpstreamUnavailable",
    }
