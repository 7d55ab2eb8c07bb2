"""What other members have handed on to this leader: which batches it has taken in, and where they stand.

It remembers them for as long as they may be asked for, and after its leadership ends, too: then it still knows, for
certain, what it took in and what it did not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs

from raft_actors.overload import OverloadCause
from raft_actors.raft.effects import Send
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.messages import Forwarded, ForwardProposals, ForwardReply
from raft_actors.raft.state import RaftState
from raft_actors.records import define

#: How many lives of one member are remembered: each restart begins one.
_MOST_LIVES = 256


@define(eq=False)
class ForwardedProposal:
    """A forwarded batch, as a request: whoever sent it hears where it stands, and finds out the rest by its own log."""

    sender: str
    life: int
    number: int
    commands: Sequence[bytes]
    kind: EntryKind
    size: int
    index: int | None = None
    last_index: int = 0
    is_read: bool = False
    forward: bool = False

    def cut(self, last_index: int, term: int) -> None:
        """Its sender finds that out."""


@define(eq=False)
class _Life:
    """The batches of one member, from one start of it to the next.

    Attributes:
        floor: batches of lower numbers are settled, and not asked for any more.
        placed: number → index of its first entry; 0: taken in, and not appended yet.
        refused: numbers of those that were not taken in, as their sender was told: a copy that comes late must not be.
    """

    floor: int = 0
    placed: dict[int, int] = attrs.field(factory=dict[int, int])
    refused: set[int] = attrs.field(factory=set[int])

    def settle_below(self, number: int) -> None:
        """Forget what nobody will ask for any more."""
        if number > self.floor:
            self.floor = number
            for settled in [one for one in self.placed if one < number]:
                del self.placed[settled]
            self.refused = {one for one in self.refused if one >= number}


class ForwardedBatches:
    """The batches of one leadership. See the module's text.

    Attributes:
        term: whose.
        unplaced: batches taken in during this step, in order.
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self.term: int = state.term
        self.unplaced: list[ForwardedProposal] = []
        self._lives: dict[tuple[str, int], _Life] = {}
        self._uncommitted: deque[ForwardedProposal] = deque()
        self._bytes = 0

    def take(
        self,
        sender: str,
        message: ForwardProposals,
        refusal: Forwarded | None = None,
        cause: OverloadCause = OverloadCause.BYTES,
    ) -> list[Send]:
        """Take a batch in, once; or answer, where it was taken in before, or is refused.

        Args:
            refusal: why no new one can be taken in now; None: it can, if there is room.
            cause: of `OVERLOADED`.
        """
        life = self._life_of(sender, message)
        if message.number < life.floor or len(message.entries) != 1:
            return []  # a copy that took long on the way: nobody waits for an answer
        if message.number in life.placed:
            index = life.placed[message.number]
            return [self._reply(sender, message, Forwarded.PLACED, index)] if index else []
        [batch] = message.entries
        if self._bytes and self._bytes + batch.size > self._state.config.max_uncommitted_bytes:
            refusal = refusal or Forwarded.OVERLOADED
        if refusal is not None or message.number in life.refused:
            life.refused.add(message.number)
            return [self._reply(sender, message, refusal or Forwarded.REFUSED, cause=cause)]
        life.placed[message.number] = 0
        commands = batch.commands()
        self._state.intake_sorts |= batch.kind is not EntryKind.COMMAND
        self.unplaced.append(ForwardedProposal(sender, message.life, message.number, commands, batch.kind, batch.size))
        self._bytes += batch.size
        return []

    def placed(self) -> list[Send]:
        """Tell where the batches of this step stand, now that they have their indexes."""
        unplaced, self.unplaced = self.unplaced, []
        told: list[Send] = []
        for batch in unplaced:
            index = batch.index or 0
            self._lives[batch.sender, batch.life].placed[batch.number] = index
            self._uncommitted.append(batch)
            reply = ForwardReply(self.term, batch.life, batch.number, Forwarded.PLACED, index)
            told.append(Send(batch.sender, reply))
            batch.commands = []  # the log has them
        return told

    def committed(self, index: int) -> tuple[str, ...]:
        """Free the room of what is committed by now; return whose it was, who wait to hear of it."""
        waiting, senders = self._uncommitted, dict[str, None]()
        while waiting and waiting[0].last_index <= index:
            batch = waiting.popleft()
            self._bytes -= batch.size
            senders[batch.sender] = None
        return tuple(senders)

    def leave(self) -> list[Send]:
        """The leadership is over: what has no place yet will get none."""
        unplaced, self.unplaced = self.unplaced, []
        for batch in unplaced:
            del self._lives[batch.sender, batch.life].placed[batch.number]
        self._uncommitted.clear()
        return [
            Send(batch.sender, ForwardReply(self.term, batch.life, batch.number, Forwarded.REFUSED, 0))
            for batch in unplaced
        ]

    def answer_late(self, sender: str, message: ForwardProposals) -> ForwardReply | None:
        """What became of a batch, now that this leadership is over."""
        life = self._lives.get((sender, message.life), _Life())
        if message.number < life.floor:
            return None
        index = life.placed.get(message.number)
        outcome = Forwarded.REFUSED if index is None else Forwarded.PLACED
        return ForwardReply(self._state.term, message.life, message.number, outcome, index or 0)

    def _reply(
        self,
        sender: str,
        message: ForwardProposals,
        outcome: Forwarded,
        index: int = 0,
        cause: OverloadCause | None = None,
    ) -> Send:
        reply = ForwardReply(self.term, message.life, message.number, outcome, index)
        if cause is not None and outcome is Forwarded.OVERLOADED:
            retry_after_ms = max(1, round(self._state.config.heartbeat_interval_s * 1000))
            reply = attrs.evolve(reply, cause=cause.value.encode(), retry_after_ms=retry_after_ms)
        return Send(sender, reply)

    def _life_of(self, sender: str, message: ForwardProposals) -> _Life:
        key = (sender, message.life)
        life = self._lives.get(key)
        if life is None:
            life = self._lives[key] = _Life()
            own = [other for other in self._lives if other[0] == sender]
            if len(own) > _MOST_LIVES:
                del self._lives[own[0]]
        life.settle_below(message.settled_below)
        return life
