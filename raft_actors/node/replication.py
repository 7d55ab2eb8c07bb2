"""The replicators of one leadership, and the announcer of its commits."""

from __future__ import annotations

import trio

from raft_actors.actors.clock import NodeClock
from raft_actors.node.commit_announcer import CommitAnnouncer
from raft_actors.node.replicator import Replicator
from raft_actors.persistence.abc import Storage
from raft_actors.raft.effects import AnnounceCommit, Beat, Feed, ReplicateTo, Resume, TellCommit, WakeReplicators
from raft_actors.raft.state import RaftState
from raft_actors.transports.abc import Transport


class Replication:
    """Starts and ends replicators as the leader decides, and hands on what it has to say to them.

    Attributes:
        replicators: peer → the actor that feeds it.
    """

    def __init__(self, state: RaftState, *, transport: Transport, storage: Storage, clock: NodeClock) -> None:
        self.replicators: dict[str, Replicator] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._announcer = CommitAnnouncer(state, self.replicators.values(), clock)
        self._announcing = False
        self._state = state
        self._transport = transport
        self._storage = storage

    def replicate_to(self, effect: ReplicateTo, nursery: trio.Nursery) -> None:
        """Start a replicator in the nursery for each peer that has none, and end those of all others."""
        for peer in [peer for peer in self.replicators if peer not in effect.peers]:
            del self.replicators[peer]
            self._scopes.pop(peer).cancel()
        for peer in effect.peers:
            if peer in self.replicators:
                continue
            replicator = Replicator(
                peer, self._state, next_index=effect.next_index, transport=self._transport, storage=self._storage
            )
            scope = trio.CancelScope()
            self.replicators[peer], self._scopes[peer] = replicator, scope
            nursery.start_soon(_run, replicator, scope, name=f"replicator {self._state.node_id} → {peer}")

        if self.replicators and not self._announcing:
            self._announcing = True
            nursery.start_soon(self._announcer.run, name=f"commit announcer of {self._state.node_id}")

    def announce_commit(self, effect: AnnounceCommit) -> None:
        """Have the followers told of a commit, unless the next append does so soon; those who wait for it, at once."""
        for peer in effect.at_once:
            if peer in self.replicators:
                self.replicators[peer].announce_commit()
        self._announcer.wake()

    def tell_commit(self, effect: TellCommit) -> None:
        """Tell one follower of a commit now. One that is none any more is told by nobody."""
        replicator = self.replicators.get(effect.peer)
        if replicator is not None:
            replicator.announce_commit()

    def tell_all(self, message: WakeReplicators | Beat) -> None:
        """Hand something to every replicator."""
        for replicator in self.replicators.values():
            replicator.notify(message)

    def resume(self, effect: Resume) -> None:
        """Tell a replicator that its follower can be reached. A peer that is no follower has none."""
        replicator = self.replicators.get(effect.peer)
        if replicator is not None:
            replicator.notify(effect)

    def feed(self, feed: Feed) -> None:
        """Hand a follower's reply to its replicator."""
        self.replicators[feed.peer].notify(feed.reply)


@trio.lowlevel.enable_ki_protection
async def _run(replicator: Replicator, scope: trio.CancelScope) -> None:
    with scope:
        await replicator.run()
