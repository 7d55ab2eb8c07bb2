"""Nodes to start."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from raft_actors.cli.demo_cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Cluster]:
    """Three nodes on free ports, not started."""
    with Cluster(tmp_path, 3, ()) as made:
        yield made
