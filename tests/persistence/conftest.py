"""Fixtures of the SQLite storage's tests."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.persistence.crashing import trace_statements
from tests.persistence.inside import Faults


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "n1.db"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What SQLite is told, as it is told."""
    seen: list[str] = []
    monkeypatch.setattr(sqlite3, "connect", trace_statements(seen.append))
    return seen


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    found = Faults()

    class FaultyConnection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.lstrip().startswith(found.prefix):
                found.act()
            return super().execute(sql, *arguments)

    connect = sqlite3.connect

    def faulty(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=FaultyConnection, **options)

    monkeypatch.setattr(sqlite3, "connect", faulty)
    return found


@pytest.fixture
def hung(faults: Faults) -> Iterator[threading.Event]:
    """A disk that hangs in the next append until the event is set."""
    release = threading.Event()

    def hang() -> None:
        release.wait()

    faults.prefix, faults.act = "INSERT INTO batches", hang
    yield release
    release.set()
