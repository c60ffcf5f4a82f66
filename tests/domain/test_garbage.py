from __future__ import annotations

from typing import Any

import pytest

from ecrate.domain.garbage import Explanation, Keeper, Link, Quarantined
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef

REF = RepositoryRef(RegistryRef("123456789012", "us-east-1"), "one")
DIGEST = Digest("sha256:" + "0" * 64)
NEEDED = Link(REF, 1, [DIGEST], 0.0, None)
UNNEEDED = Link(REF, 0, [], 0.0, 1.0)
KEEPER = Keeper(REF, DIGEST, 1.0)
BYTES = Quarantined("key", 1, 0.0, 1.0)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        pytest.param({"links": [UNNEEDED, NEEDED], "keepers": [KEEPER]}, "NEEDED", id="needed"),
        pytest.param({"links": [UNNEEDED], "keepers": [KEEPER]}, "TRASHED", id="trashed"),
        pytest.param({"links": [UNNEEDED]}, "LINKED", id="linked"),
        pytest.param({}, "UNLINKED", id="unlinked"),
        pytest.param({"links": [NEEDED], "quarantined": [BYTES]}, "NEEDED", id="pushed-again"),
        pytest.param({"size": None, "quarantined": [BYTES]}, "QUARANTINED", id="quarantined"),
        pytest.param({"size": None}, "UNKNOWN", id="unknown"),
    ],
)
def test_state_is_the_step_that_the_bytes_are_at(facts: dict[str, Any], state: str) -> None:
    nothing: dict[str, Any] = {"links": [], "keepers": [], "quarantined": [], "size": 1}

    told = Explanation(digest=DIGEST, stored_at=0.0, link_count=0, **{**nothing, **facts})

    assert told.state == state
