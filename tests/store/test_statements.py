"""Every function of the store runs on every engine: nothing in its SQL is known to one only."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ecrate import store
from ecrate.domain.errors import EcrateError, StoreUnavailable
from ecrate.domain.images import Image, Storage, parse_manifest
from ecrate.domain.lanes import Lane, Task
from ecrate.domain.layers import Upload
from ecrate.domain.lifecycle import LifecycleImage, Verdict
from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef
from ecrate.domain.pull_through import Rule
from ecrate.domain.registry import PullTimeExclusion
from ecrate.domain.replication import Backfill, BackfillResult, ReplicationRule
from ecrate.domain.repositories import RepositorySettings, TagMutability
from ecrate.domain.scanning import ScanningConfiguration, ScanningRule, ScanPlan
from ecrate.domain.templates import Template
from ecrate.domain.trash import Origin, TrashedImage
from ecrate.domain.webhooks import Webhook
from ecrate.store.advisories import Feed, NewAdvisory
from ecrate.store.blobs import Garbage
from ecrate.store.checks import COUNTS, RELATIONS, BlobRow, ImageRow
from ecrate.store.database import ConstraintError, Database
from ecrate.store.dump import TABLES
from ecrate.store.engines import open_database
from ecrate.store.images import ImageReferences
from ecrate.store.lifecycle import DuePolicy
from ecrate.store.scans import Outcome
from ecrate.store.sqlite import migrate
from tests.store.test_schema import SETUP
from tests.support.images import make_image
from tests.support.postgres import ENGINES

REGISTRY = RegistryRef("1", "r")
REF = RepositoryRef(REGISTRY, "one")
DIGEST = Digest("sha256:" + "0" * 64)
IMAGE = LifecycleImage(1, DIGEST, ("v1",), 0.0)
VERDICT = Verdict(IMAGE, 1, "expire")
UPLOAD = Upload("u2", 1, "p")
LANE = Lane(1, "owner", "key", 0, Task(1, None, 0.0, {}))
WEBHOOK = Webhook("w2", REGISTRY, "http://x", (), (), 0.0)
RULE = ReplicationRule((REGISTRY,))
BACKFILL = Backfill("b2", REGISTRY, REGISTRY, "PREPARING", ("", 0, ""), 0, 0, 0, False, 0.0, None)  # noqa: FBT003
# What a parameter of this name and type gets, or of this type whatever its name.
ARGUMENTS: dict[str, object] = {
    "blob_ids: Iterable[int]": [1],
    "columns: Sequence[str]": ["id"],
    "counts: Sequence[int]": [1] * 6,
    "names: Sequence[str]": ["images"],
    "name: str": "installation",
    "status: str": "ANY",
    "storage: str": "ANY",
    "table: str": "images",
    "tag_status: str": "ANY",
    "bool": True,
    "bool | None": True,
    "float | None": 1.5,
    "Backfill": BACKFILL,
    "BackfillResult": BackfillResult(1, "one", "d1", "v1", "", None),
    "Collection[str]": ["one", "two"],
    "Lane": LANE,
    "Mapping[str, Any]": {"a": 1},
    "Sequence[ReplicationRule]": [RULE],
    "Webhook": WEBHOOK,
    "tuple[float, str]": (0.0, ""),
    "tuple[str, int, str]": ("", 0, ""),
    "float": 1.5,
    "int": 1,
    "int | None": 1,
    "str": "v1",
    "str | None": "v1",
    "tuple[int, str]": (0, ""),
    "Collection[int]": [1],
    "Feed": Feed(1, 1.0, "source"),
    "Iterable[NewAdvisory]": [NewAdvisory("A-1", 1.0, "{}", [("PyPI", "one", "{}")])],
    "Iterable[int]": [1],
    "Iterable[tuple[int, bytes, Mapping[str, int]]]": [(1, b"findings", {"HIGH": 1})],
    "Outcome": Outcome("COMPLETE", "done", {"HIGH": 1}, 1, 1.0),
    "ScanPlan": ScanPlan("ENHANCED", "CONTINUOUS_SCAN"),
    "ScanningConfiguration": ScanningConfiguration(rules=(ScanningRule("SCAN_ON_PUSH", ("*",)),)),
    "Sequence[int]": [1],
    "Sequence[str]": ["d1"],
    "list[str]": ["k1"],
    "Sequence[ResourceTag]": [("key", "value")],
    "Sequence[Garbage]": [Garbage("k2", 1)],
    "tuple[str, bytes]": ("claim", b"state"),
    "bytes": b"state",
    "Sequence[Verdict]": [VERDICT],
    "BlobRow": BlobRow(1, DIGEST, "k1", 1, is_lost=False, is_forgotten=False),
    "Count": COUNTS[0],
    "Digest": DIGEST,
    "DuePolicy": DuePolicy(1, REF, "{}"),
    "Image": Image(1, DIGEST, "t", None, 1, 0.0, None, None, 1, Storage("ACTIVE", None, None)),
    "Image | None": None,
    "Row | None": None,
    "ImageId": ImageId(tag="v1"),
    "ImageRow": ImageRow(
        id=1,
        repository_id=1,
        digest=DIGEST,
        media_type="t",
        subject=None,
        manifest_size=1,
        is_trashed=False,
        content=b"",
        layers=frozenset(),
        children=frozenset(),
        missing=frozenset(),
    ),
    "Key": (1, 1),
    "Relation": RELATIONS[2],
    "Sequence[Row]": [("id",)],
    "Table": TABLES[0],
    "ImageReferences": ImageReferences([(1, "t")], [1], [("d2", "t")], [("i3", "t")]),
    "Manifest": parse_manifest(make_image().manifest.encode()),
    "Origin": Origin(ref=REF),
    "PullTimeExclusion": PullTimeExclusion("arn", 0.0),
    "RegistryRef": REGISTRY,
    "RepositoryRef": REF,
    "RepositorySettings": RepositorySettings(),
    "Rule": Rule("up", "a.example", None, "ROOT", None, None, 0.0, 0.0),
    "Sequence[tuple[str, bool]]": [("d1", True)],
    "Storage": Storage("ARCHIVED", 1.0, None),
    "TagMutability": TagMutability(),
    "Template": Template("ROOT", (), 0.0, 0.0),
    "TrashedImage": TrashedImage(1, 1, 1, REF, DIGEST, "t", 1, False, (), 0.0, 0.0),  # noqa: FBT003
    "Upload": UPLOAD,
}


def functions() -> Iterator[Any]:
    """Give all functions of the store that run statements."""
    for module in pkgutil.iter_modules(store.__path__, "ecrate.store."):
        for name, function in vars(importlib.import_module(module.name)).items():
            is_own = getattr(function, "__module__", "") == module.name and inspect.isfunction(
                function
            )
            if is_own and name[0] != "_" and "tx" in inspect.signature(function).parameters:
                yield pytest.param(function, id=f"{module.name.rpartition('.')[2]}.{name}")


def arguments(function: Callable[..., object]) -> dict[str, object]:
    """Make up arguments; one whose name or type is not known is a KeyError."""
    return {
        name: ARGUMENTS.get(f"{name}: {parameter.annotation}") or ARGUMENTS[parameter.annotation]
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "tx"
    }


class UndoneError(Exception):
    """Ends a write that is to leave nothing."""


def undone(database: Database, function: Callable[..., object]) -> Exception | None:
    """Run the function and undo what it did; give the error it ended in."""

    def run_and_undo() -> None:
        with database.write() as tx:
            function(tx, **arguments(function))
            raise UndoneError

    try:
        run_and_undo()
    except UndoneError:
        pass
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
    return None


@pytest.fixture(scope="module", params=ENGINES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with some rows, whose ids are 1."""
    with ExitStack() as opened:
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("statements") / "ecrate.db"
            migrate(path)
            url = f"sqlite://{path}"
        else:
            url = opened.enter_context(request.getfixturevalue("postgres").prepared())
        database = open_database(url, connections=1)
        opened.callback(database.close)
        with database.write() as tx:
            for statement in SETUP:
                tx.run(statement)
        yield database


@pytest.mark.parametrize("function", [*functions()])
def test_statements_run(filled: Database, function: Callable[..., object]) -> None:
    outcome = undone(filled, function)

    assert outcome is None or isinstance(outcome, (EcrateError, ConstraintError))
    assert not isinstance(outcome, StoreUnavailable)
