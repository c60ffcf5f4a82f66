"""The AWS door's tables, closed against the service model, and its patches."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.session import Session

from ecrate.aws import errors as aws_errors
from ecrate.aws.errors import CODES
from ecrate.aws.images import _FAILURES as FAILURES
from ecrate.aws.model import Shape, kebab, service_model
from ecrate.aws.table import OPERATIONS
from ecrate.domain import errors, images, layers, names, upstream_errors
from tests.support.provoked import COMMON
from tests.support.reachable import errors_named_below

MODEL = service_model()
ROOT = errors.EcrateError
SUBCLASSES = sorted(ROOT.__subclasses__(), key=lambda kind: kind.__name__)

# Errors that never leave as such: they become entries of a batch's failures, or their text
# becomes the constraint of an InvalidParameterException.
PER_ENTRY: Final = {
    errors.ImageNotFound,
    errors.ImageTagDoesNotMatchDigest,
    errors.InvalidImageDigest,
    errors.InvalidImageTag,
    errors.MissingDigestAndTag,
}
# Why something could not be had of upstream; the reason for an unusable secret becomes that of a
# denied access.
SECRETS: Final = {
    upstream_errors.SecretNotFound,
    upstream_errors.UnableToAccessSecret,
    upstream_errors.UnableToDecryptSecretValue,
}
FETCHING: Final = {
    upstream_errors.UpstreamAccessDenied,
    upstream_errors.UpstreamContentRefused,
    upstream_errors.UpstreamNotFound,
    upstream_errors.UpstreamTooManyRequests,
    upstream_errors.UpstreamUnavailable,
}
# What keeping an image could end in; what comes from upstream may lack what it needs.
KEEPING: Final = {
    errors.LayersNotFound,
    errors.ReferencedImagesNotFound,
    errors.RepositoryAlreadyExists,
}
CONVERTED: Final[dict[str, set[type[errors.EcrateError]]]] = {
    "BatchDeleteImage": PER_ENTRY,
    "BatchGetImage": {
        *PER_ENTRY,
        *FETCHING,
        *KEEPING,
        *SECRETS,
        errors.ImageInaccessible,
        errors.PullRefused,
    },
    "DescribeImageScanFindings": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
    "DescribeImageSigningStatus": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
    "DescribeImages": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
    "DescribeImageReplicationStatus": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
    "GetLifecyclePolicyPreview": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
    "GetDownloadUrlForLayer": {*FETCHING, *SECRETS} - {upstream_errors.UpstreamNotFound},
    "ListImageReferrers": {*FETCHING, *KEEPING, *SECRETS, errors.LimitExceeded},
    "PutImage": {errors.InvalidImageTag},
    "ValidatePullThroughCacheRule": {
        *SECRETS,
        upstream_errors.UpstreamAccessDenied,
        upstream_errors.UpstreamTooManyRequests,
    },
    "StartImageScan": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
    "UpdateImageStorageClass": {
        errors.InvalidImageDigest,
        errors.InvalidImageTag,
        errors.MissingDigestAndTag,
    },
}
# Subclasses without a code at this door.
WITHOUT_CODE: Final = {
    errors.ImageInaccessible: "an entry of a batch's failures only",
    errors.InvalidImageDigest: "an entry of a batch's failures only",
    errors.InvalidImageTag: "an entry of a batch's failures only",
    errors.MissingDigestAndTag: "an entry of a batch's failures only",
    errors.PrincipalAlreadyExists: "principals are managed on the command line only",
    errors.PrincipalNotFound: "principals are managed on the command line only",
    errors.GarbageNotFound: "the quarantine is looked into on the command line only",
    errors.BackupUnusable: "backups are made and restored on the command line only",
    errors.ImportUnusable: "other registries' files are imported on the command line only",
    errors.ImportRefused: "other registries' files are imported on the command line only",
    errors.TargetNotEmpty: "backups are made and restored on the command line only",
    errors.ServerRunning: "data is moved on the command line only",
    errors.MigrationFailed: "data is moved on the command line only",
    errors.HoldLost: "only commands on the data directory take holds",
    errors.TrashNotFound: "the trash is looked into on the command line only",
    errors.WebhookNotFound: "webhooks are managed on the command line only",
    **dict.fromkeys(FETCHING, "told in the text of another error, or in a batch's failures"),
    errors.SigningFailed: "images are signed behind a push, or on the command line",
    errors.PullGateNotFound: "pull gates are set on the command line only",
    errors.PullRefused: "an entry of a batch's failures only",
    errors.BundleRefused: "bundles are made and taken over on the command line only",
    errors.LayerInUse: "ECR has no operation that deletes a layer; the registry door has",
}


def test_operations_are_the_models() -> None:
    assert OPERATIONS.keys() == MODEL.operations.keys()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_handler_is_named_as_its_operation(name: str) -> None:
    assert OPERATIONS[name].handler.__name__ == kebab(name).replace("-", "_")


@pytest.mark.parametrize("kind", SUBCLASSES, ids=lambda kind: kind.__name__)
def test_error_has_a_code_or_a_reason_to_have_none(kind: type[errors.EcrateError]) -> None:
    assert (kind in CODES) != (kind in WITHOUT_CODE)


@pytest.mark.parametrize("code", sorted(set(CODES.values())))
def test_code_is_the_models_or_common(code: str) -> None:
    assert (code in MODEL.shapes) != (code in COMMON)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operation_raises_only_what_its_model_declares(name: str) -> None:
    raised = errors_named_below(OPERATIONS[name].handler) - CONVERTED.get(name, set())

    codes = {CODES[kind] for kind in raised}

    assert codes <= {*MODEL.operations[name].errors, *COMMON}


@pytest.mark.parametrize("name", sorted(CONVERTED))
def test_error_that_is_converted_can_be_raised(name: str) -> None:
    assert CONVERTED[name] <= errors_named_below(OPERATIONS[name].handler)


def test_failure_codes_are_the_models() -> None:
    codes = {code for code, _ in FAILURES.values()}

    assert codes <= set(MODEL.shapes["ImageFailureCode"].enum)
    assert FAILURES.keys() >= PER_ENTRY


@pytest.mark.parametrize("kind", SUBCLASSES, ids=lambda kind: kind.__name__)
def test_error_names_its_facts(kind: type[errors.EcrateError]) -> None:
    fields = getattr(kind, "__dataclass_fields__", {})
    facts: dict[str, Any] = {name: f"<{name}>" for name in fields}

    text = str(kind(**facts))

    assert text
    assert re.findall(r"(?<!{){(\w+)}", kind.text) == re.findall(r"<(\w+)>", text)


@pytest.mark.parametrize(
    ("shape", "pattern"),
    [
        pytest.param("RepositoryName", names.REPOSITORY_NAME_PATTERN, id="repository-name"),
        pytest.param("LayerDigest", names.DIGEST_PATTERN, id="digest"),
    ],
)
def test_pattern_of_the_domain_is_the_models(shape: str, pattern: str) -> None:
    assert MODEL.shapes[shape].pattern == pattern


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        pytest.param("ImageManifest", images.MAX_MANIFEST_SIZE, id="manifest"),
        pytest.param("LayerPartBlob", layers.MAX_PART_SIZE, id="part"),
    ],
)
def test_limit_of_the_domain_is_the_models(shape: str, limit: int) -> None:
    assert MODEL.shapes[shape].maximum == limit


def test_largest_part_fits_its_operations_limit() -> None:
    encoded = (layers.MAX_PART_SIZE + 2) // 3 * 4
    escapes = encoded // 64

    assert OPERATIONS["UploadLayerPart"].body_limit > encoded + escapes + 4096


def test_largest_manifest_fits_its_operations_limit() -> None:
    assert OPERATIONS["PutImage"].body_limit > 2 * images.MAX_MANIFEST_SIZE + 4096


def test_server_exception_is_the_models_only_fault() -> None:
    assert aws_errors.SERVER_EXCEPTION.code in MODEL.shapes
    assert aws_errors.SERVER_EXCEPTION.status == 500


def test_model_is_botocores() -> None:
    botocore = Session().get_service_model("ecr")

    assert sorted(MODEL.operations) == sorted(botocore.operation_names)
    assert len(MODEL.operations) == 62
    assert MODEL.target_prefix == botocore.metadata["targetPrefix"]
    assert MODEL.signing_name == botocore.signing_name


@pytest.mark.parametrize("name", sorted(MODEL.operations))
def test_shapes_are_botocores(name: str) -> None:
    operation = Session().get_service_model("ecr").operation_model(name)

    assert _members(MODEL.operations[name].input) == _members(operation.input_shape)
    assert _members(MODEL.operations[name].output) == _members(operation.output_shape)
    assert set(MODEL.operations[name].errors) == {one.name for one in operation.error_shapes}


def _members(shape: Shape | Any) -> dict[str, str]:
    return {} if shape is None else {n: inner.name for n, inner in shape.members.items()}


def test_patches_give_their_reasons() -> None:
    patches = json.loads((resources.files("ecrate.aws") / "model_patches.json").read_text())

    assert all(patch.keys() == {"shape", "change", "reason"} for patch in patches)
    assert {patch["shape"] for patch in patches} <= MODEL.shapes.keys()


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        pytest.param("PutImage", "put-image", id="two-words"),
        pytest.param("layerPartBlob", "layer-part-blob", id="member"),
        pytest.param("GetDownloadUrlForLayer", "get-download-url-for-layer", id="many-words"),
        pytest.param("KMSKeyId", "kms-key-id", id="capitals"),
    ],
)
def test_kebab_spells_as_the_command_line(name: str, spelled: str) -> None:
    assert kebab(name) == spelled


def test_operation_has_a_name_on_the_command_line() -> None:
    assert MODEL.operations["GetDownloadUrlForLayer"].cli_name == "get-download-url-for-layer"


def test_front_door_error_says_its_message() -> None:
    assert str(aws_errors.SERVER_EXCEPTION) == aws_errors.SERVER_EXCEPTION.message


def test_patch_corrects_a_shape(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch = {"shape": "RepositoryName", "change": {"min": 3}, "reason": "a test"}
    (tmp_path / "model_patches.json").write_text(json.dumps([patch]))
    monkeypatch.setattr("ecrate.aws.model.__file__", str(tmp_path / "model.py"))

    patched = service_model.__wrapped__()

    assert patched.shapes["RepositoryName"].minimum == 3
    assert MODEL.shapes["RepositoryName"].minimum == 2
