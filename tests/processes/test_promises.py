"""What a node has told its peers holds after SIGKILL at that moment. The peers are played here, over real TCP."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports import TcpTransport
from raft_actors.transports.abc import Endpoint
from tests.processes.harness import Cluster, open_cluster
from tests.processes.ledger import Ledger, Note

#: The node never stands for election itself.
PATIENT: dict[str, Any] = {"election_timeout_s": (1000.0, 2000.0)}
NODE = "n1"
TURNS = 100
BATCH = EntryBatch.encode(1, 5, EntryKind.COMMAND, [Ledger.commands.encode(Note("c", 1))])


@attrs.define(eq=False)
class Peer:
    """One that says what the test wants, and keeps the answers."""

    transport: TcpTransport
    cluster: Cluster
    heard: list[Message] = attrs.field(factory=list)
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def deliver(self, _sender: str, message: Message) -> bool:
        self.heard.append(message)
        self._news.unpark_all()
        return True

    async def say(self, message: Message) -> None:
        """Send it once there is a connection."""
        self.heard.clear()
        while not self.transport.statistics().peers[NODE].connected:
            await self.cluster.ask(NODE, "status")
        assert self.transport.send_nowait(NODE, message)

    async def ask(self, message: Message) -> Message:
        """Send it, and wait for the answer."""
        await self.say(message)
        while not self.heard:
            await self._news.park()
        return self.heard.pop()


@asynccontextmanager
async def _peers(cluster: Cluster) -> AsyncGenerator[list[Peer], None]:
    """All peers of the one worker."""
    async with trio.open_nursery() as nursery:
        peers = []
        for node_id in sorted(set(cluster.voters) - {NODE}):
            peer = Peer(TcpTransport(cluster.voters[node_id]), cluster)
            others = {NODE: cluster.voters[NODE]}
            await nursery.start(
                peer.transport.run, Endpoint("processes", node_id, others, peer.deliver, 64 * 1024 * 1024)
            )
            peers.append(peer)
        await cluster.start(NODE)
        await cluster.started(NODE)
        yield peers
        nursery.cancel_scope.cancel()


async def _kill_and_start(cluster: Cluster) -> None:
    await cluster.kill(NODE)
    await cluster.start(NODE)
    await cluster.started(NODE)


async def test_vote(tmp_path: Path) -> None:
    """One vote a term, also across a crash (Raft paper, Figure 2: currentTerm and votedFor are persistent)."""
    async with open_cluster(tmp_path, **PATIENT) as cluster, _peers(cluster) as (one, other):
        assert await one.ask(RequestVote(5, 0, 0)) == RequestVoteReply(5, granted=True)
        await _kill_and_start(cluster)
        assert await other.ask(RequestVote(5, 0, 0)) == RequestVoteReply(5, granted=False)
        assert await one.ask(RequestVote(5, 0, 0)) == RequestVoteReply(5, granted=True)
        assert await other.ask(RequestVote(4, 9, 4)) == RequestVoteReply(5, granted=False)


async def test_entries(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, **PATIENT) as cluster, _peers(cluster) as (leader, _):
        assert await leader.ask(AppendEntries(5, 0, 0, 0, (BATCH,))) == AppendEntriesAccepted(5, 1)
        await _kill_and_start(cluster)
        status = await cluster.ask(NODE, "status")
        assert (status["term"], status["durable_index"]) == (5, 1)
        assert await leader.ask(AppendEntries(5, 1, 5, 1)) == AppendEntriesAccepted(5, 1)
        assert (await cluster.ask(NODE, "state", index=1))["notes"] == {"c": [[1, 1]]}


async def test_snapshot(tmp_path: Path) -> None:
    snapshot = SnapshotMetadata(7, 4)
    ledger = Ledger()
    ledger.apply(Note("c", 1))
    message = InstallSnapshot(5, snapshot, 0, b"".join(ledger.snapshot()), done=True)
    async with open_cluster(tmp_path, **PATIENT) as cluster, _peers(cluster) as (leader, _):
        assert await leader.ask(message) == InstallSnapshotReply(5, snapshot, 1, installed=True)
        await _kill_and_start(cluster)
        assert (await cluster.ask(NODE, "state", index=7))["notes"] == {"c": [[1, 1]]}
        assert await leader.ask(AppendEntries(5, 7, 4, 7)) == AppendEntriesAccepted(5, 7)


@pytest.mark.parametrize(
    "message",
    [
        RequestVote(6, 1, 5, leadership_transfer=True),  # else a leader that was heard of keeps it from voting
        AppendEntries(5, 1, 5, 0, (EntryBatch.encode(2, 5, EntryKind.NOOP, [b""]),)),
        InstallSnapshot(5, SnapshotMetadata(7, 4), 0, b"".join(Ledger().snapshot()), done=True),
    ],
    ids=["vote", "entries", "snapshot"],
)
async def test_nothing_is_promised_while_the_disk_hangs(tmp_path: Path, message: Message) -> None:
    async with open_cluster(tmp_path, **PATIENT) as cluster, _peers(cluster) as (leader, _):
        await leader.ask(AppendEntries(5, 0, 0, 0, (BATCH,)))
        await cluster.ask(NODE, "hang")
        await leader.say(message)
        await cluster.reported(NODE, "held")
        for _ in range(TURNS):
            await cluster.ask(NODE, "status")
        assert leader.heard == []
