"""The signing operations at the AWS door; that images are signed is tested below it."""

from __future__ import annotations

import json

from tests.support.door import Account
from tests.support.images import make_image

RULE = {
    "signingProfileArn": "arn:aws:signer:us-east-1:123456789012:/signing-profiles/release",
    "repositoryFilters": [{"filter": "one*", "filterType": "WILDCARD_MATCH"}],
}
CONFIGURATION = {"rules": [RULE]}


def test_get_signing_configuration_gives_what_was_put(account: Account) -> None:
    put = account.call("PutSigningConfiguration", signingConfiguration=CONFIGURATION)

    found = account.call("GetSigningConfiguration")
    assert put == {"signingConfiguration": CONFIGURATION}
    assert found == {"registryId": account.id, "signingConfiguration": CONFIGURATION}


def test_put_signing_configuration_replaces_what_there_was(account: Account) -> None:
    account.call("PutSigningConfiguration", signingConfiguration=CONFIGURATION)
    account.call("PutSigningConfiguration", signingConfiguration={"rules": []})

    found = account.call("GetSigningConfiguration")
    assert found["signingConfiguration"] == {"rules": []}


def test_delete_signing_configuration_gives_what_there_was(account: Account) -> None:
    account.call("PutSigningConfiguration", signingConfiguration=CONFIGURATION)

    gone = account.call("DeleteSigningConfiguration")
    refused = account.refuse("GetSigningConfiguration")
    assert gone == {"registryId": account.id, "signingConfiguration": CONFIGURATION}
    assert refused == (
        400,
        "SigningConfigurationNotFoundException",
        f"Signing configuration does not exist in the registry with id '{account.id}'",
    )


def test_describe_image_signing_status_tells_of_a_push(account: Account) -> None:
    account.call("PutSigningConfiguration", signingConfiguration=CONFIGURATION)
    digest = account.push(account.create("one"), "v1").digest

    found = account.call(
        "DescribeImageSigningStatus", repositoryName="one", imageId={"imageTag": "v1"}
    )
    assert found == {
        "registryId": account.id,
        "repositoryName": "one",
        "imageId": {"imageDigest": digest, "imageTag": "v1"},
        "signingStatuses": [
            {"signingProfileArn": RULE["signingProfileArn"], "status": "IN_PROGRESS"}
        ],
    }


def test_describe_image_signing_status_of_a_signature_is_empty(account: Account) -> None:
    account.call("PutSigningConfiguration", signingConfiguration=CONFIGURATION)
    name = account.create("one")
    subject = account.push(name)
    signature = account.upload(name, make_image(10))
    document = signature.document | {
        "artifactType": "application/vnd.cncf.notary.signature",
        "subject": {
            "mediaType": subject.document["mediaType"],
            "digest": subject.digest,
            "size": len(subject.manifest),
        },
    }
    digest = account.put(name, json.dumps(document))

    found = account.call(
        "DescribeImageSigningStatus", repositoryName=name, imageId={"imageDigest": digest}
    )
    assert found["signingStatuses"] == []


def test_describe_image_signing_status_needs_an_image_id(account: Account) -> None:
    refused = account.refuse(
        "DescribeImageSigningStatus", repositoryName=account.create(), imageId={}
    )
    assert refused[:2] == (400, "InvalidParameterException")
