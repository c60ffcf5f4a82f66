"""Texts of repository and registry policies: put, given back, replaced, removed."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.support.door import Account
from tests.support.policies import allow, deny, policy

FIRST = policy(allow("ecr:ListImages", Principal="*"))
# Members out of order, blanks, a letter beyond ASCII: nothing of it may be lost.
SECOND = (
    '{ "Statement": [ {"Action": "ecr:*", "Sid": "tout \u00e0 tous", "Principal": "*",\n'
    '"Effect": "Allow"} ] }'
)
OF_REGISTRY = policy(deny("ecr:PutImage", Principal="*", Resource="*"))
INVALID = (
    "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid {} policy provided'"
)


@pytest.fixture
def repository(account: Account) -> str:
    return account.create()


def message_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Message"]


@pytest.mark.parametrize("text", [FIRST, SECOND], ids=["plain", "odd"])
def test_set_repository_policy_answers_the_text(
    account: Account, repository: str, text: str
) -> None:
    answer = account.ecr.set_repository_policy(repositoryName=repository, policyText=text)

    assert (answer["registryId"], answer["repositoryName"]) == (account.id, repository)
    assert answer["policyText"] == text


def test_set_repository_policy_replaces_the_whole(account: Account, repository: str) -> None:
    account.ecr.set_repository_policy(repositoryName=repository, policyText=FIRST)
    account.ecr.set_repository_policy(repositoryName=repository, policyText=SECOND)

    answer = account.ecr.get_repository_policy(repositoryName=repository)

    assert answer["policyText"] == SECOND


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("policy", id="no-json"),
        pytest.param(policy(allow("ecr:*")), id="no-principal"),
        pytest.param(policy(allow("ecr:*", Principal={"AWS": "alice"})), id="no-arn"),
        pytest.param(policy({"Effect": "Maybe", "Action": "*", "Principal": "*"}), id="effect"),
    ],
)
def test_set_repository_policy_refuses_and_keeps_the_last(
    account: Account, repository: str, text: str
) -> None:
    account.ecr.set_repository_policy(repositoryName=repository, policyText=FIRST)

    with pytest.raises(account.ecr.exceptions.InvalidParameterException) as caught:
        account.ecr.set_repository_policy(repositoryName=repository, policyText=text)

    kept = account.ecr.get_repository_policy(repositoryName=repository)
    assert message_of(caught) == INVALID.format("repository")
    assert kept["policyText"] == FIRST


def test_get_repository_policy_tells_whose_it_is(account: Account, repository: str) -> None:
    account.ecr.set_repository_policy(repositoryName=repository, policyText=FIRST)

    answer = account.ecr.get_repository_policy(repositoryName=repository, registryId=account.id)

    assert (answer["registryId"], answer["repositoryName"]) == (account.id, repository)


def test_get_repository_policy_of_a_repository_made_again_finds_none(
    account: Account, repository: str
) -> None:
    account.ecr.set_repository_policy(repositoryName=repository, policyText=FIRST)
    account.ecr.delete_repository(repositoryName=repository)
    account.create(repository)

    with pytest.raises(account.ecr.exceptions.RepositoryPolicyNotFoundException):
        account.ecr.get_repository_policy(repositoryName=repository)


def test_delete_repository_policy_answers_the_text_once(account: Account, repository: str) -> None:
    account.ecr.set_repository_policy(repositoryName=repository, policyText=SECOND)

    answer = account.ecr.delete_repository_policy(repositoryName=repository)

    assert answer["policyText"] == SECOND
    with pytest.raises(account.ecr.exceptions.RepositoryPolicyNotFoundException) as caught:
        account.ecr.delete_repository_policy(repositoryName=repository)
    assert message_of(caught) == (
        f"Repository policy does not exist for the repository with name '{repository}' in the "
        f"registry with id '{account.id}'"
    )


def test_put_registry_policy_replaces_the_whole(account: Account) -> None:
    other = policy(allow("ecr:CreateRepository", Principal="*", Resource="*"))
    account.ecr.put_registry_policy(policyText=other)

    answer = account.ecr.put_registry_policy(policyText=OF_REGISTRY)

    assert (answer["registryId"], answer["policyText"]) == (account.id, OF_REGISTRY)
    assert account.ecr.get_registry_policy()["policyText"] == OF_REGISTRY


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(FIRST, id="no-resource"),
        pytest.param(policy(allow("ecr:*", Resource="*")), id="no-principal"),
    ],
)
def test_put_registry_policy_refuses(account: Account, text: str) -> None:
    with pytest.raises(account.ecr.exceptions.InvalidParameterException) as caught:
        account.ecr.put_registry_policy(policyText=text)

    assert message_of(caught) == INVALID.format("registry")


def test_get_registry_policy_sees_its_account_only(account: Account) -> None:
    account.ecr.put_registry_policy(policyText=OF_REGISTRY)
    other = account.door.account()

    with pytest.raises(other.ecr.exceptions.RegistryPolicyNotFoundException) as caught:
        other.ecr.get_registry_policy()

    assert (
        message_of(caught) == f"Registry policy does not exist in the registry with id '{other.id}'"
    )


def test_delete_registry_policy_answers_the_text_once(account: Account) -> None:
    account.ecr.put_registry_policy(policyText=OF_REGISTRY)

    answer = account.ecr.delete_registry_policy()

    assert (answer["registryId"], answer["policyText"]) == (account.id, OF_REGISTRY)
    with pytest.raises(account.ecr.exceptions.RegistryPolicyNotFoundException):
        account.ecr.delete_registry_policy()
