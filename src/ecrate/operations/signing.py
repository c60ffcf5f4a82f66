"""Signing on push: the registry's configuration, and what becomes of it.

Source: ECR User Guide, "Managed signing".

    image pushed --event--> IN_PROGRESS --signed--> COMPLETE
                             |      ^ `------------> FAILED
                             `------' tried again, a few times, where that may help
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from ecrate.domain.errors import EcrateError, SigningConfigurationNotFound, SigningFailed
from ecrate.domain.events import IMAGE_ACTION, REFERRER_ACTION, Event
from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.signing import (
    IN_PROGRESS,
    DueSigning,
    SigningConfiguration,
    SigningStatus,
    is_beside_an_image,
    profile_of,
)
from ecrate.operations.authorization import authorize, open_repository
from ecrate.operations.core import Core
from ecrate.operations.events import begin_following, follow_events
from ecrate.operations.images import find_existing
from ecrate.operations.signatures import ACTOR, sign_image
from ecrate.signers.images import SIGNATURE_TYPES
from ecrate.signers.port import SignerError
from ecrate.store import signing as store
from ecrate.store.database import Transaction

_LOG: Final = logging.getLogger("ecrate")
_BATCH: Final = 20
_ATTEMPTS: Final = 3
_PAUSE: Final = 10.0


def put_signing_configuration(
    core: Core, caller: Caller, configuration: SigningConfiguration
) -> None:
    """Let images that are pushed from now on be signed so."""
    with core.database.write() as tx:
        authorize(tx, caller, caller.registry, "PutSigningConfiguration")
        given = SigningConfiguration(configuration.rules, core.clock())
        store.put_configuration(tx, caller.registry, given)
        # A push right behind this is followed, even if nobody has followed any so far.
        begin_following(tx, ACTOR)


def get_signing_configuration(core: Core, caller: Caller) -> SigningConfiguration:
    """Raise `SigningConfigurationNotFound` where there is none."""
    with core.database.read() as tx:
        authorize(tx, caller, caller.registry, "GetSigningConfiguration")
        return _found(store.find_configuration(tx, caller.registry), caller.registry)


def delete_signing_configuration(core: Core, caller: Caller) -> SigningConfiguration:
    """Give what was deleted; raises `SigningConfigurationNotFound`."""
    with core.database.write() as tx:
        authorize(tx, caller, caller.registry, "DeleteSigningConfiguration")
        return _found(store.delete_configuration(tx, caller.registry), caller.registry)


def _found(configuration: SigningConfiguration | None, ref: RegistryRef) -> SigningConfiguration:
    if configuration is None:
        raise SigningConfigurationNotFound(ref.id)
    return configuration


def describe_image_signing_status(
    core: Core, caller: Caller, ref: RepositoryRef, image_id: ImageId
) -> tuple[Digest, list[SigningStatus]]:
    """Give the image's digest, and what has become of signing it, by profile.

    Raises `ImageNotFound`, `ImageTagDoesNotMatchDigest`.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImageSigningStatus")
        image = find_existing(tx, repository, image_id)
        found = store.list_statuses(tx, image.id)
        configuration = store.find_configuration(tx, ref.registry)
    if configuration is None or image.artifact_media_type in SIGNATURE_TYPES:
        return image.digest, found
    # A push since the configuration was put is known to be followed by a signature, before the
    # event of it is looked at.
    known = {one.profile_arn for one in found}
    if not found and image.pushed_at >= configuration.updated_at:
        found += [
            SigningStatus(arn, IN_PROGRESS)
            for arn in configuration.profiles_for(ref.name)
            if arn not in known
        ]
    return image.digest, found


def run_signing(core: Core, may_go_on: Callable[[], bool]) -> bool:
    """Look which images were pushed, and sign a batch of those that are due; tell whether more
    wait.
    """
    has_more = follow_events(core, ACTOR, _queue)
    with core.database.look() as tx:
        due = store.list_due(tx, core.clock(), _BATCH)
    for one in due:
        if not may_go_on():
            return False
        _sign(core, one)
    return has_more or len(due) == _BATCH


def _queue(tx: Transaction, events: Sequence[Event]) -> None:
    """Let what was pushed be signed where the registry is configured so."""
    configurations: dict[RegistryRef, SigningConfiguration | None] = {}
    for event in events:
        if not _is_to_sign(event):
            continue
        if event.registry not in configurations:
            configurations[event.registry] = store.find_configuration(tx, event.registry)
        configuration = configurations[event.registry]
        if configuration is not None:
            ref = RepositoryRef(event.registry, event.repository)
            profiles = configuration.profiles_for(event.repository)
            digest = str(event.detail["image-digest"])
            store.queue_signings(tx, ref, digest, profiles, event.happened_at)


def _is_to_sign(event: Event) -> bool:
    detail, tag = event.detail, event.detail.get("image-tag")
    return (
        event.kind in (IMAGE_ACTION, REFERRER_ACTION)
        and detail.get("action-type") == "PUSH"
        and event.actor != ACTOR
        and detail.get("artifact-media-type") not in SIGNATURE_TYPES
        and not is_beside_an_image(str(tag) if tag is not None else None)
    )


def _sign(core: Core, due: DueSigning) -> None:
    """Sign one image and note what became of it."""
    account, name = profile_of(due.profile_arn)
    failure: tuple[str, str] | None = None
    try:
        if account != due.ref.registry.id:
            raise SigningFailed(f"the profile is another account's, {account}")
        sign_image(core, due.ref, Digest(due.digest), name)
    except SignerError as error:
        if error.is_passing and due.attempts + 1 < _ATTEMPTS:
            _LOG.warning("cannot sign %s in %s yet: %s", due.digest, due.ref.name, error)
            with core.database.write() as tx:
                until = core.clock() + _PAUSE * 2**due.attempts
                store.put_off_signing(tx, due, until)
            return
        failure = ("SigningFailed", str(error))
    except EcrateError as error:
        failure = (type(error).__name__, str(error))
    if failure is not None:
        _LOG.error("cannot sign %s in %s: %s", due.digest, due.ref.name, failure[1])
    with core.database.write() as tx:
        store.end_signing(tx, due, failure)
