"""Repository creation templates, and the repositories that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecrate.domain.errors import (
    AccessDenied,
    LimitExceeded,
    RepositoryAlreadyExists,
    RepositoryNotFound,
    TemplateNotFound,
)
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.domain.templates import CREATE_ON_PUSH, Template, choose_template
from ecrate.operations.authorization import authorize, open_repository
from ecrate.operations.core import Core
from ecrate.operations.repositories import authorize_creation, insert_repository
from ecrate.store import templates as store
from ecrate.store.database import Transaction
from ecrate.store.identities import put_repository_policy
from ecrate.store.lifecycle import put_policy
from ecrate.store.repositories import lock_registry


def create_repository_creation_template(
    core: Core, caller: Caller, registry: RegistryRef, template: Template
) -> None:
    """Raise `TemplateAlreadyExists`, `LimitExceeded`."""
    limit = core.limits.templates_per_registry
    with core.database.write() as tx:
        authorize(tx, caller, registry, "CreateRepositoryCreationTemplate")
        lock_registry(tx, registry)
        store.insert_template(tx, registry, template)
        if len(store.list_templates(tx, registry, "", limit + 1)) > limit:
            raise LimitExceeded(
                f"The registry with id '{registry.id}' already has the maximum allowed number of "
                f"repository creation templates which is '{limit}'"  # [A]
            )


def update_repository_creation_template(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    prefix: str,
    change: Callable[[Template], Template],
) -> Template:
    """Put what `change` makes of the template in its place; raises `TemplateNotFound`."""
    with core.database.write() as tx:
        authorize(tx, caller, registry, "UpdateRepositoryCreationTemplate")
        lock_registry(tx, registry)
        changed = change(_find(tx, registry, prefix))
        store.replace_template(tx, registry, changed)
    return changed


def delete_repository_creation_template(
    core: Core, caller: Caller, registry: RegistryRef, prefix: str
) -> Template:
    """Give the template as it was; raises `TemplateNotFound`. Repositories stay as they are."""
    with core.database.write() as tx:
        authorize(tx, caller, registry, "DeleteRepositoryCreationTemplate")
        lock_registry(tx, registry)
        template = _find(tx, registry, prefix)
        store.delete_template(tx, registry, prefix)
    return template


def _find(tx: Transaction, registry: RegistryRef, prefix: str) -> Template:
    template = store.find_template(tx, registry, prefix)
    if template is None:
        raise TemplateNotFound(prefix, registry.id)
    return template


def describe_repository_creation_templates(
    core: Core, caller: Caller, registry: RegistryRef, prefixes: Sequence[str]
) -> list[Template]:
    """Give those of the named ones that there are, in the order given."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeRepositoryCreationTemplates")
        found = [store.find_template(tx, registry, prefix) for prefix in prefixes]
    return [template for template in found if template is not None]


def list_repository_creation_templates(
    core: Core, caller: Caller, registry: RegistryRef, *, after: str, limit: int
) -> tuple[list[Template], str | None]:
    """Give a page of templates in order of prefix, and where the next one goes on."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeRepositoryCreationTemplates")
        found = store.list_templates(tx, registry, after, limit + 1)
    return found[:limit], found[limit - 1].prefix if len(found) > limit else None


def open_or_create_repository(
    core: Core, tx: Transaction, caller: Caller, ref: RepositoryRef, action: str
) -> Repository:
    """As `open_repository`, at the registry door: what a push is to goes into being where a
    template says so. The caller then needs the right to create repositories as well.
    """
    try:
        return open_repository(tx, caller, ref, action)
    except RepositoryNotFound as missing:
        if not _create(core, tx, caller, ref):
            raise missing from None
    return open_repository(tx, caller, ref, action)


def check_push(core: Core, caller: Caller, ref: RepositoryRef, action: str) -> None:
    """Raise what `open_or_create_repository` would for want of rights, and make nothing: for
    what is not worth reading if its sender may not push it.
    """
    with core.database.read() as tx:
        try:
            open_repository(tx, caller, ref, action)
        except RepositoryNotFound:
            if _creating_template(core, tx, caller, ref) is None:
                raise


def _create(core: Core, tx: Transaction, caller: Caller, ref: RepositoryRef) -> bool:
    template = _creating_template(core, tx, caller, ref)
    if template is None:
        return False
    make_repository(core, tx, ref, template)
    return True


def find_template(
    core: Core, tx: Transaction, ref: RepositoryRef, occasion: str
) -> Template | None:
    """Give the template for a repository that is made on an occasion, if there is one."""
    templates = store.list_templates(tx, ref.registry, "", core.limits.templates_per_registry)
    return choose_template(templates, ref.name, occasion)


def make_repository(core: Core, tx: Transaction, ref: RepositoryRef, template: Template) -> None:
    """Make a repository, whose creation is authorized, as the template says, unless somebody has
    made it this moment.
    """
    try:
        repository = insert_repository(core, tx, ref, template.settings(ref.registry))
    except RepositoryAlreadyExists:
        return
    if template.repository_policy is not None:
        put_repository_policy(tx, repository.id, template.repository_policy)
    if template.lifecycle_policy is not None:
        put_policy(tx, repository.id, template.lifecycle_policy, core.clock())


def _creating_template(
    core: Core, tx: Transaction, caller: Caller, ref: RepositoryRef
) -> Template | None:
    """Give the template that makes the repository on a push, if the caller may create it."""
    template = find_template(core, tx, ref, CREATE_ON_PUSH)
    if template is None:
        return None
    try:
        authorize_creation(tx, caller, ref, template.settings(ref.registry))
    except AccessDenied:
        if caller.registry.id != ref.registry.id:
            # Whether there is a template is nothing for strangers to learn.
            return None
        raise
    return template
