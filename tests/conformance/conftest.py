"""A store of each kind, for the contract that all storages keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from raft_actors.persistence import Storage
from tests.persistence.support import Place


@pytest.fixture(params=["sqlite", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path / "n1.db" if request.param == "sqlite" else None)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[Storage]:
    storage = place.storage()
    yield storage
    await storage.aclose()
