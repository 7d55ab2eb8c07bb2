"""What the tests of transports share."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import attrs
import trio

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    ConfirmLeader,
    ConfirmLeaderReply,
    ForwardProposals,
    ForwardReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    ReadIndexReply,
    RequestLeave,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestVote,
    RequestVoteReply,
    StateDigest,
    TimeoutNow,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports import Endpoint, PeerStatistics, Transport
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Answer, ProtocolRange, Verdict

MAX_MESSAGE_BYTES = 100_000

BATCHES = (
    EntryBatch.encode(8, 2, EntryKind.NOOP, [b""]),
    EntryBatch.encode(9, 3, EntryKind.COMMAND, [b"one", b"", b"three"]),
)

SAMPLES: dict[str, Message] = {
    "RequestPreVote": RequestPreVote(4, 11, 3, 2),
    "RequestPreVoteReply": RequestPreVoteReply(4, 2, True),
    "TimeoutNow": TimeoutNow(4),
    "RequestLeave": RequestLeave(4),
    "ConfirmLeader": ConfirmLeader(4, 7),
    "ConfirmLeaderReply": ConfirmLeaderReply(4, 7),
    "RequestReadIndex": RequestReadIndex(4, 9),
    "ReadIndexReply": ReadIndexReply(4, 9, 12),
    "ForwardProposals": ForwardProposals(4, 7, 3, 2, BATCHES[1:]),
    "ForwardReply": ForwardReply(4, 7, 3, 1, 11),
    "no room": ForwardReply(4, 7, 3, 3, 0, b"disk", 100),
    "StateDigest": StateDigest(4, 11, bytes(range(16))),
    "RequestVote": RequestVote(4, 11, 3),
    "RequestVote of a transfer": RequestVote(4, 11, 3, leadership_transfer=True),
    "RequestVoteReply": RequestVoteReply(4, True),
    "heartbeat": AppendEntries(4, 7, 2, 6),
    "quiet heartbeat": AppendEntries(4, 7, 2, 6, wants_reply=False),
    "one batch": AppendEntries(4, 7, 2, 6, BATCHES[:1]),
    "two batches": AppendEntries(4, 7, 2, 6, BATCHES),
    "AppendEntriesAccepted": AppendEntriesAccepted(4, 11),
    "log too short": AppendEntriesRejected(4, 7, None, 5),
    "conflict": AppendEntriesRejected(4, 7, 1, 5),
    "InstallSnapshot": InstallSnapshot(4, SnapshotMetadata(6, 2), 0, b"chunk", False),
    "InstallSnapshotReply": InstallSnapshotReply(4, SnapshotMetadata(6, 2), 1, True),
}


def answer(verdict: Verdict = Verdict.ACCEPTED, protocol: ProtocolRange = THIS_VERSION) -> bytes:
    """An answer to a hello, framed."""
    return frame(Answer(verdict, protocol).encode(THIS_VERSION))


def numbered(number: int) -> Message:
    """A small message that can be told from others."""
    return AppendEntriesAccepted(1, number)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds. The limit only ends a test that would never end."""
    with trio.fail_after(60):
        while True:
            await trio.lowlevel.checkpoint()
            if condition():
                return


@contextmanager
def free_port() -> Generator[int]:
    """A port of 127.0.0.1 that nobody else gets; one who sets SO_REUSEADDR, as trio does, can listen on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@attrs.define(eq=False)
class Member:
    """A transport, what has arrived over it, and the means to start and stop it."""

    transport: Transport
    endpoint: Endpoint
    received: list[tuple[str, Message]]
    inbox: trio.MemoryReceiveChannel[tuple[str, Message]]
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _ended: trio.Event = attrs.field(factory=trio.Event)

    @classmethod
    def make(
        cls,
        transport: Transport,
        node_id: str,
        peers: dict[str, str],
        *,
        cluster_id: str = "test",
        full: bool = False,
    ) -> Member:
        send, receive = trio.open_memory_channel[tuple[str, Message]](float("inf"))
        received: list[tuple[str, Message]] = []

        def deliver(sender: str, message: Message) -> bool:
            received.append((sender, message))
            send.send_nowait((sender, message))
            return not full

        return cls(transport, Endpoint(cluster_id, node_id, peers, deliver, MAX_MESSAGE_BYTES), received, receive)

    async def start(self, nursery: trio.Nursery) -> None:
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        await nursery.start(self._run)

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - the transport calls started()
        try:
            with self._scope:
                await self.transport.run(self.endpoint, task_status=task_status)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._scope.cancel()
        await self._ended.wait()

    def peer(self, node_id: str) -> PeerStatistics:
        return self.transport.statistics().peers[node_id]

    def set_peers(self, **addresses: str) -> None:
        """Have these peers, now and when it starts again."""
        self.endpoint = attrs.evolve(self.endpoint, peers=addresses)
        self.transport.set_peers(addresses)

    async def wait_connected(self, *node_ids: str) -> None:
        await wait_until(lambda: all(self.peer(node_id).connected for node_id in node_ids))

    async def reach(self, other: Member, message: Message) -> None:
        """Send the message to `other` over and over until it arrives, as it may be lost while connections change."""
        expected = (self.endpoint.node_id, message)

        def arrived() -> bool:
            self.transport.send_nowait(other.endpoint.node_id, message)
            return expected in other.received

        await wait_until(arrived)

    async def exchange(self, other: Member, message: Message) -> None:
        """Send the message to `other` once, over a connection that stands, and see that it arrives."""
        await self.wait_connected(other.endpoint.node_id)
        assert self.transport.send_nowait(other.endpoint.node_id, message)
        assert await other.inbox.receive() == (self.endpoint.node_id, message)
