"""Liveness: a cluster that was healed must elect a leader, converge and serve within a bound of its own time."""

from __future__ import annotations

from typing import Any

import trio

from raft_actors.errors import ProposalError
from raft_actors.testing.faulty_cluster import FaultyCluster

_LOOK_S = 0.05


class Recovery:
    """One recovery of one cluster."""

    def __init__(self, cluster: FaultyCluster[Any, Any], within_s: float) -> None:
        self._cluster = cluster
        self._within_s = within_s
        self._lacks = "nothing was tried yet"

    async def run(self) -> None:
        """Heal, and wait until all is well.

        Raises:
            CheckFailed: it was not in time.
        """
        with trio.move_on_after(self._within_s) as scope:
            await self._cluster.heal_all()
            leader = await self._one_leader()
            await self._serves(leader)
            await self._converges()
            await self._stays()
        if scope.cancelled_caught:
            raise self._cluster.failed(f"liveness: healed for {self._within_s:g} s, and {self._lacks}")

    async def _one_leader(self) -> str:
        """Wait until all nodes that run follow one leader."""
        cluster = self._cluster
        while True:
            self._lacks = "the nodes do not agree on a leader"
            for name in cluster.node_ids:
                await cluster.try_start(name)
            members = self._members()
            statuses = [node.status() for name, node in cluster.nodes.items() if name in members]
            leaders = {(status.term, status.leader) for status in statuses}
            if len(leaders) == 1:
                leader = leaders.pop()[1]
                if leader is not None and leader in cluster.nodes:
                    return leader
            await trio.sleep(_LOOK_S)

    def _members(self) -> set[str]:
        """Who has to follow and to converge: those that a change removed, or has not named yet, need not."""
        members = self._cluster.members()
        return set(members.members) if members is not None else set()

    async def _serves(self, leader: str) -> None:
        """Have a read answered, which commits an entry."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._start_all)
            await self._answered(leader)
            nursery.cancel_scope.cancel()

    async def _answered(self, leader: str) -> None:
        while True:
            self._lacks = f"{leader} leads, and does not serve"
            try:
                await self._cluster.node(leader).read(lambda _state_machine: None)
            except ProposalError:
                await trio.sleep(_LOOK_S)  # a leader that is shutting down refuses at once, and goes on leading a while
                leader = await self._one_leader()
            else:
                return

    async def _start_all(self) -> None:
        """Start again and again who has ended: one that was stopping or leaving when the faults ended did so only after
        the others had agreed on a leader, and may be one without which nothing is committed.
        """
        while True:
            await trio.sleep(_LOOK_S)
            for name in self._cluster.node_ids:
                await self._cluster.try_start(name)

    async def _converges(self) -> None:
        """Wait until every node that can run has applied all that any has committed by now."""
        cluster = self._cluster
        last_index = max(node.status().commit_index for node in cluster.nodes.values())
        while True:
            for name in cluster.node_ids:
                await cluster.try_start(name)
            behind = [
                name
                for name in sorted(self._members())
                if name not in cluster.lost and cluster.applied_index(name) < last_index
            ]
            if not behind:
                return
            self._lacks = f"not all have applied entry {last_index}: {', '.join(behind)}"
            await trio.sleep(_LOOK_S)

    async def _stays(self) -> None:
        """Wait until a leader stays for long enough that any node that can't hear it would have stood for election."""
        cluster = self._cluster
        long_s = 2 * cluster.config.election_timeout_s[1]
        while True:
            members = self._members()
            before = {name: node.status().term for name, node in cluster.nodes.items() if name in members}
            await trio.sleep(long_s)
            after = {name: node.status().term for name, node in cluster.nodes.items() if name in members}
            if before == after and len(set(after.values())) == 1:
                return
            self._lacks = f"no leader stays: terms went from {before} to {after}"
