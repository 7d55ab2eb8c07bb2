"""One node with all in memory, for tests of what an application meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raft_actors import ClusterConfig, Node, NodeConfig
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import MemoryNetwork
from tests.actors.machines import Machine

ALONE = ClusterConfig("c", {"n1": "memory"})


def arguments(machine: Any = Machine, **others: Any) -> dict[str, Any]:
    """What `open_node` and `run_node` take for a node that needs nobody else."""
    return {
        "cluster": ALONE,
        "state_machine": machine,
        "storage": MemoryStorage(),
        "transport": MemoryNetwork().transport("n1"),
        "config": NodeConfig(election_timeout_s=(0.02, 0.04), heartbeat_interval_s=0.01),
        **others,
    }


def make_node(machine: Machine | Callable[[], Machine] = Machine, **others: Any) -> Node[Machine]:
    return Node("n1", **arguments(machine, **others))
