"""What a development server begins with: repositories, policies and sample images, from a file.

    [[repositories]]
    name = "team/app"
    account = "123456789012"                    # the setting account_id
    region = "eu-west-1"                        # the setting region
    tag_mutability = "IMMUTABLE"                # MUTABLE
    scan_on_push = true                         # false
    resource_tags = { team = "x" }
    policy = { Version = "2012-10-17", Statement = [] }      # or its JSON as text
    lifecycle_policy = { rules = [] }                        # or its JSON as text

    [[repositories.images]]
    tags = ["v1", "latest"]
    size = 1000                                 # bytes a layer
    layers = 1
    platform = "linux/amd64"

All but the name may be left out. What is there already stays; so a seed may be sown again.
"""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ecrate.domain.errors import EcrateError, ImageAlreadyExists, RepositoryAlreadyExists
from ecrate.domain.images import parse_manifest
from ecrate.domain.layers import Part
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import RepositorySettings, TagMutability
from ecrate.domain.samples import Sample, digest_of, make_sample
from ecrate.operations import images, layers, lifecycle, policies, repositories, uploads
from ecrate.operations.core import Core
from ecrate.settings import SettingError, Settings


class _Known(msgspec.Struct, forbid_unknown_fields=True):
    """What a table may have; anything else is refused."""


class SeedImage(_Known):
    """A sample image, the same on each machine."""

    tags: list[str] = []
    size: int = 1000
    layers: int = 1
    platform: str = "linux/amd64"


class SeedRepository(_Known):
    """A repository with what is in it."""

    name: str
    account: str = ""
    region: str = ""
    tag_mutability: str = "MUTABLE"
    scan_on_push: bool = False
    resource_tags: dict[str, str] = {}
    policy: dict[str, Any] | str = ""
    lifecycle_policy: dict[str, Any] | str = ""
    images: list[SeedImage] = []


class Seed(_Known):
    """The whole file."""

    repositories: list[SeedRepository] = []


def sow(settings: Settings, core: Core) -> None:
    """Bring what the seed lists and is not there; raises `SettingError`."""
    path = Path(settings.seed)
    try:
        seed = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Seed)
    except OSError as error:
        raise SettingError(f"cannot read 'seed' {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"'seed' {path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise SettingError(f"'seed' {path}: {error}") from None
    try:
        for one in seed.repositories:
            try:
                _sow_repository(settings, core, one)
            except (EcrateError, ValueError) as error:
                raise SettingError(f"'seed' {path}: repository '{one.name}': {error}") from None
    finally:
        core.database.close()


def _sow_repository(settings: Settings, core: Core, one: SeedRepository) -> None:
    registry = RegistryRef(one.account or settings.account_id, one.region or settings.region)
    root = f"arn:aws:iam::{registry.id}:root"
    caller = Caller(root, registry.id, registry, is_root=True)
    ref = RepositoryRef.parse(registry, one.name)
    wanted = RepositorySettings(
        tag_mutability=TagMutability.parse(one.tag_mutability, None),
        scan_on_push=one.scan_on_push,
        resource_tags=tuple(sorted(one.resource_tags.items())),
    )
    with contextlib.suppress(RepositoryAlreadyExists):
        repositories.create_repository(core, caller, ref, wanted)
    if one.policy:
        policies.set_repository_policy(core, caller, ref, _text(one.policy), force=True)
    if one.lifecycle_policy:
        policy = parse_lifecycle_policy(_text(one.lifecycle_policy))
        lifecycle.put_lifecycle_policy(core, caller, ref, policy)
    for number, image in enumerate(one.images):
        sample = make_sample(
            f"{one.name} {number}", size=image.size, layers=image.layers, platform=image.platform
        )
        _push(core, caller, ref, sample, image.tags)


def _text(document: dict[str, Any] | str) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _push(core: Core, caller: Caller, ref: RepositoryRef, sample: Sample, tags: list[str]) -> None:
    digests = {digest_of(blob): blob for blob in sample.blobs}
    answers = layers.batch_check_layer_availability(core, caller, ref, list(digests))
    for (digest, blob), answer in zip(digests.items(), answers, strict=True):
        if answer.layer is None:
            upload_id = uploads.initiate_layer_upload(core, caller, ref)
            part = Part(0, len(blob) - 1)
            uploads.upload_layer_part(core, caller, ref, upload_id, part, pieces=[blob])
            uploads.complete_layer_upload(core, caller, ref, upload_id, [digest])
    with contextlib.suppress(ImageAlreadyExists):
        images.put_image(core, caller, ref, parse_manifest(sample.manifest), tags)
