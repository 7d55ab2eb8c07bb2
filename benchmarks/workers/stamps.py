"""Where a commit's time goes in one node: stamps around what it does, for the question `hops`.

The node has none of its own. The worker puts them around the node's functions when it is told to, before the node is
opened; so where nobody asks, nothing is there that could cost anything.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import attrs

from benchmarks.workers.wire import clock
from raft_actors.node.applier import Applier
from raft_actors.node.proposals import PendingProposal
from raft_actors.node.role_actors import RoleActor
from raft_actors.node.submission import Submission
from raft_actors.persistence.sqlite.database import Database
from raft_actors.persistence.sqlite.writer_thread import Call, WriterThread
from raft_actors.raft.inputs import Durable, Received, Requested
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted
from raft_actors.transports.tcp import receiver
from raft_actors.transports.tcp.sender import PeerSender

#: Some two dozen a commit: the last few thousand commits.
_MOST_STAMPS = 200_000

Stamp = tuple[float, str]


@attrs.frozen
class HandOver:
    """What is measured between two stamps.

    Attributes:
        name: as tables have it.
        begins, ends: the stamps. Of several that begin before one ends, the last counts,
        first: unless the first is meant: then it is one that waits for others, too.
    """

    name: str
    begins: str
    ends: str
    first: bool = False


_WRITE = (
    HandOver("queued → storage's thread", "write queued", "write begins"),
    HandOver("write and sync", "write begins", "write ends"),
    HandOver("synced → Trio's thread", "write ends", "write answered"),
)

LEADER = (
    HandOver("proposed → step", "proposed", "step on proposals", first=True),
    HandOver("step → first send", "step on proposals", "send begins"),
    HandOver("each send", "send begins", "send ends"),
    HandOver("step → write queued", "step on proposals", "write queued"),
    *_WRITE,
    HandOver("last send → answer read", "send ends", "message read"),
    HandOver("read → decoded", "message read", "message decoded"),
    HandOver("decoded → step", "message decoded", "step on a message"),
    HandOver("step → applying", "step on a message", "applying begins"),
    HandOver("applying, answering", "applying begins", "applying ends"),
    HandOver("answered → proposer", "applying ends", "proposer goes on"),
)
"""A leader's, in the order in which they happen where one task proposes."""

FOLLOWER = (
    HandOver("read → decoded", "message read", "message decoded"),
    HandOver("decoded → step", "message decoded", "step on a message"),
    HandOver("step → write queued", "step on a message", "write queued"),
    *_WRITE,
    HandOver("Trio's thread → step", "write answered", "step on a write"),
    HandOver("step → first send", "step on a write", "send begins"),
    HandOver("each send", "send begins", "send ends"),
    HandOver("read → answer sent", "message read", "send ends", first=True),
)
"""A follower's, likewise."""

_STEPS: dict[type[Any], str] = {
    Requested: "step on proposals",
    Durable: "step on a write",
    Received: "step on a message",
}


def _is_of_a_commit(message: object) -> bool:
    return isinstance(message, AppendEntriesAccepted) or (isinstance(message, AppendEntries) and bool(message.entries))


def durations(stamps: Iterable[Stamp], hand_over: HandOver) -> list[float]:
    """How long a hand-over took, each time that it happened; `stamps` are in order of time."""
    begun: float | None = None
    found: list[float] = []
    for at, name in stamps:
        if name == hand_over.ends and begun is not None:
            found.append(at - begun)
            begun = None
        if name == hand_over.begins and (begun is None or not hand_over.first):
            begun = at
    return found


class Stamps:
    """The last stamps of this process."""

    def __init__(self) -> None:
        self._stamps: deque[Stamp] = deque(maxlen=_MOST_STAMPS)

    def install(self) -> None:
        """Put stamps around the functions of all nodes that this process opens from now on."""
        self._around(Submission, "proposal", "proposed", None)
        self._around(PendingProposal, "result_nowait", "proposer goes on", None)
        self._around(WriterThread, "begin", "write queued", None)
        self._around(Database, "append", "write begins", "write ends")
        self._around(Call, "answer", "write answered", None)
        self._around(Applier, "_apply_from_memory", "applying begins", "applying ends")
        self._around_steps()
        self._around_messages()

    def take(self, hand_overs: Sequence[HandOver]) -> dict[str, list[float]]:
        """Forget all stamps; return each hand-over's median and ninth decile, in µs, and how often it happened."""
        stamps = sorted(self._stamps)
        self._stamps.clear()
        found: dict[str, list[float]] = {}
        for hand_over in hand_overs:
            took = sorted(durations(stamps, hand_over))
            if took:
                found[hand_over.name] = [statistics.median(took) * 1e6, took[len(took) * 9 // 10] * 1e6, len(took)]
        return found

    def _around(self, owner: type[Any], name: str, before: str, after: str | None) -> None:
        function: Callable[..., Any] = getattr(owner, name)
        stamp = self._stamps.append

        @wraps(function)
        def stamped(*arguments: Any, **keywords: Any) -> Any:
            stamp((clock(), before))
            result = function(*arguments, **keywords)
            if after is not None:
                stamp((clock(), after))
            return result

        setattr(owner, name, stamped)

    def _around_steps(self) -> None:
        step: Callable[..., Any] = getattr(RoleActor, "_step")  # noqa: B009 - as those above
        stamp = self._stamps.append

        @wraps(step)
        def stamped(actor: RoleActor, item: object, perform: Any) -> Any:
            name = _STEPS.get(type(item))
            if name is not None and (not isinstance(item, Received) or _is_of_a_commit(item.message)):
                stamp((clock(), name))
            return step(actor, item, perform)

        setattr(RoleActor, "_step", stamped)  # noqa: B010 - likewise

    def _around_messages(self) -> None:
        decode: Callable[..., Any] = getattr(receiver, "decode")  # noqa: B009 - it exports none
        send, stamp = PeerSender.send_nowait, self._stamps.append

        def decode_stamped(data: Any, counted: Any = None) -> Any:
            read_at = clock()
            message = decode(data, counted)
            if _is_of_a_commit(message):
                stamp((read_at, "message read"))
                stamp((clock(), "message decoded"))
            return message

        @wraps(send)
        def send_stamped(sender: PeerSender, message: Any) -> bool:
            if not _is_of_a_commit(message):
                return send(sender, message)
            stamp((clock(), "send begins"))
            sent = send(sender, message)
            stamp((clock(), "send ends"))
            return sent

        setattr(receiver, "decode", decode_stamped)  # noqa: B010 - likewise
        setattr(PeerSender, "send_nowait", send_stamped)  # noqa: B010 - likewise
