"""How a cluster began: the voters that its first start named, which nothing changes any more.

Two sets of voters in one cluster are two majorities that need not meet, so two leaders of one term (Raft paper, §5.2
and §6, both count on one configuration). Hence the first start writes the set into the store, each later one must name
the same, and nodes compare it when they greet each other. It is the set that the cluster *began* with that is compared:
members that join or leave later do so by an entry of the log, of which two healthy nodes may know differently much.
"""

from __future__ import annotations

from collections.abc import Iterable

from raft_actors.config import ClusterConfig
from raft_actors.errors import StorageMismatch
from raft_actors.raft.persistent_state import Recovered


def initial_voters(node_id: str, cluster: ClusterConfig, recovered: Recovered) -> tuple[str, ...]:
    """The ids of the voters that the cluster began with, sorted.

    Raises:
        StorageMismatch: the store knows others than this start names.
    """
    named = tuple(sorted(cluster.voters))
    stored = recovered.initial_voters or named
    if stored == named:
        return stored
    missing, added = sorted({*stored} - {*named}), sorted({*named} - {*stored})
    differences = [f"{_names(missing)} missing"] * bool(missing) + [f"{_names(added)} new"] * bool(added)
    raise StorageMismatch(
        f"the store of node {node_id!r} is of a cluster that began with the voters {', '.join(stored)}, and this start "
        f"names {', '.join(named)} ({', '.join(differences)}): name the same ones at every start (only their addresses "
        "may change), for with two sets of voters two leaders would acknowledge different writes"
    )


def _names(ids: Iterable[str]) -> str:
    names = list(ids)
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
