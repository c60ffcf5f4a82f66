"""ListImageReferrers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, digest_of, make_image
from tests.support.pushing import push_image, push_layer

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

EMPTY = Blob(b"{}", "application/vnd.oci.empty.v1+json")
SBOM = "application/vnd.example.sbom.v1"
SIGNATURE = "application/vnd.example.signature.v1"
SUBJECT = digest_of(b"a subject that does not exist")


def put_referrer(ecr: ECRClient, repository: str, subject: str = SUBJECT, **members: Any) -> str:
    """Put an artifact that names the subject; give its manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": EMPTY.descriptor,
        "layers": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7},
        **members,
    }
    manifest = json.dumps(document)
    ecr.put_image(repositoryName=repository, imageManifest=manifest)
    return manifest


@pytest.fixture
def place(ecr: ECRClient, repository: str) -> str:
    """A repository into which artifacts can be put."""
    push_layer(ecr, repository, EMPTY.content)
    return repository


@pytest.fixture
def three(ecr: ECRClient, place: str) -> list[str]:
    """Digests of an SBOM, a signature and another SBOM of the subject."""
    kinds = (SBOM, SIGNATURE, SBOM)
    manifests = [
        put_referrer(ecr, place, artifactType=kind, annotations={"n": str(number)})
        for number, kind in enumerate(kinds)
    ]
    return [digest_of(manifest.encode()) for manifest in manifests]


def listed(ecr: ECRClient, repository: str, subject: str = SUBJECT, **more: Any) -> list[str]:
    answer = ecr.list_image_referrers(
        repositoryName=repository, subjectId={"imageDigest": subject}, **more
    )
    assert "nextToken" not in answer
    return [one["digest"] for one in answer["referrers"]]


def pages_of(ecr: ECRClient, repository: str, size: int) -> Iterator[Any]:
    """Give page after page of the subject's referrers; boto3 has no paginator for them."""
    more: Any = {}
    while True:
        page = ecr.list_image_referrers(
            repositoryName=repository,
            subjectId={"imageDigest": SUBJECT},
            maxResults=size,
            **more,
        )
        yield page
        if "nextToken" not in page:
            return
        more = {"nextToken": page["nextToken"]}


def test_list_image_referrers_describes_them(ecr: ECRClient, place: str) -> None:
    image = make_image()
    push_image(ecr, place, image, "v1")
    plain = put_referrer(ecr, place, image.digest)
    typed = put_referrer(
        ecr, place, image.digest, artifactType=SBOM, annotations={"made by": "a test"}
    )

    answer = ecr.list_image_referrers(repositoryName=place, subjectId={"imageDigest": image.digest})

    assert answer["referrers"] == [
        {
            "digest": digest_of(plain.encode()),
            "mediaType": OCI_MANIFEST,
            "size": len(plain),
            "artifactType": EMPTY.media_type,
            "artifactStatus": "ACTIVE",
        },
        {
            "digest": digest_of(typed.encode()),
            "mediaType": OCI_MANIFEST,
            "size": len(typed),
            "artifactType": SBOM,
            "annotations": {"made by": "a test"},
            "artifactStatus": "ACTIVE",
        },
    ]


def test_list_image_referrers_of_what_does_not_exist_is_empty(
    ecr: ECRClient, repository: str
) -> None:
    assert listed(ecr, repository) == []


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        pytest.param([], [0, 1, 2], id="none"),
        pytest.param([SBOM], [0, 2], id="one"),
        pytest.param([SIGNATURE, "application/other"], [1], id="one-of-two"),
        pytest.param([SIGNATURE, SBOM, "a/b", "a/c", "a/d"], [0, 1, 2], id="five"),
        pytest.param(["application/other"], [], id="other"),
    ],
)
def test_list_image_referrers_filters_by_artifact_type(
    ecr: ECRClient, place: str, three: list[str], types: list[str], wanted: list[int]
) -> None:
    found = listed(ecr, place, filter={"artifactTypes": types})

    assert found == [three[number] for number in wanted]


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        pytest.param({}, [0, 2], id="default"),
        pytest.param({"artifactStatus": "ACTIVE"}, [0, 2], id="active"),
        pytest.param({"artifactStatus": "ARCHIVED"}, [1], id="archived"),
        pytest.param({"artifactStatus": "ACTIVATING"}, [], id="activating"),
        pytest.param({"artifactStatus": "ANY"}, [0, 1, 2], id="any"),
    ],
)
def test_list_image_referrers_filters_by_status(
    ecr: ECRClient, place: str, three: list[str], status: dict[str, str], wanted: list[int]
) -> None:
    ecr.update_image_storage_class(
        repositoryName=place, imageId={"imageDigest": three[1]}, targetStorageClass="ARCHIVE"
    )

    found = listed(ecr, place, filter=status)

    assert found == [three[number] for number in wanted]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_list_image_referrers_pages_give_everything_once(
    ecr: ECRClient, place: str, three: list[str], size: int
) -> None:
    pages = list(pages_of(ecr, place, size))

    assert [one["digest"] for page in pages for one in page["referrers"]] == three
    assert [len(page["referrers"]) for page in pages[:-1]] == [size] * (len(pages) - 1)


def test_list_image_referrers_gives_twenty_unless_told(ecr: ECRClient, place: str) -> None:
    for number in range(21):
        put_referrer(ecr, place, annotations={"n": str(number)})

    answer = ecr.list_image_referrers(repositoryName=place, subjectId={"imageDigest": SUBJECT})

    assert len(answer["referrers"]) == 20
    assert "nextToken" in answer
    assert len(listed(ecr, place, maxResults=50)) == 21


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        pytest.param({"maxResults": 51}, "less than or equal to 50", id="page-size"),
        pytest.param({"subjectId": {"imageDigest": "v1"}}, "imageDigest", id="no-digest"),
        pytest.param(
            {"filter": {"artifactTypes": list("abcdef")}}, "less than or equal to 5", id="six-types"
        ),
        pytest.param({"filter": {"artifactStatus": "GONE"}}, "enum value set", id="status"),
        pytest.param({"nextToken": "made up"}, "Invalid token", id="token"),
    ],
)
def test_list_image_referrers_refuses(
    ecr: ECRClient, repository: str, parameters: dict[str, Any], match: str
) -> None:
    given: Any = {"repositoryName": repository, "subjectId": {"imageDigest": SUBJECT}, **parameters}

    with pytest.raises(ecr.exceptions.InvalidParameterException, match=match):
        ecr.list_image_referrers(**given)


@pytest.mark.usefixtures("three")
def test_list_image_referrers_refuses_the_token_of_another_filter(
    ecr: ECRClient, place: str
) -> None:
    subject: Any = {"imageDigest": SUBJECT}
    token = ecr.list_image_referrers(repositoryName=place, subjectId=subject, maxResults=1)[
        "nextToken"
    ]

    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid token"):
        ecr.list_image_referrers(
            repositoryName=place,
            subjectId=subject,
            nextToken=token,
            filter={"artifactTypes": [SBOM]},
        )


@pytest.mark.usefixtures("three")
def test_list_image_referrers_refuses_the_token_of_a_repository_that_was_of_this_name(
    ecr: ECRClient, place: str
) -> None:
    subject: Any = {"imageDigest": SUBJECT}
    page = ecr.list_image_referrers(repositoryName=place, subjectId=subject, maxResults=1)
    ecr.delete_repository(repositoryName=place, force=True)
    ecr.create_repository(repositoryName=place)

    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid token"):
        ecr.list_image_referrers(
            repositoryName=place, subjectId=subject, nextToken=page["nextToken"]
        )


def test_list_image_referrers_needs_a_repository(ecr: ECRClient) -> None:
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.list_image_referrers(repositoryName="never/made", subjectId={"imageDigest": SUBJECT})


def test_list_image_referrers_gives_an_index_no_artifact_type(
    ecr: ECRClient, repository: str
) -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": SUBJECT, "size": 7},
    }
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(document))

    answer = ecr.list_image_referrers(repositoryName=repository, subjectId={"imageDigest": SUBJECT})

    (referrer,) = answer["referrers"]
    assert referrer["mediaType"] == OCI_INDEX
    assert "artifactType" not in referrer
