"""What a member has to hand on to the leader, and what it has handed on and not heard of again.

A forwarded batch is carried out once at most: the leader remembers which ones it has taken in, by their numbers, for
as long as its leadership lasts, so a batch whose answer is missing may be sent again to that leader, and to no other.
When another leads, the former one is asked what became of it. It is still a member, and knows; only where it has ended,
or is cut off, nobody does.

No batch is passed on by who gets it, so none can go round in circles. One that was refused may go to a leader of a
later term, as it was taken in nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

from raft_actors.config import NodeConfig
from raft_actors.errors import LeadershipLost, NotLeader, Overloaded
from raft_actors.overload import OverloadCause, cause_told, retry_told
from raft_actors.raft.effects import Effect, Refuse, Send
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, EntryBatch, EntryKind
from raft_actors.raft.messages import Forwarded, ForwardProposals, ForwardReply
from raft_actors.raft.requests import Request
from raft_actors.records import define

_LIFE_BITS = 61

#: The longest time between two questions for one batch, in heartbeat intervals.
_LONGEST_PAUSE = 8

#: How long a former leader may take to tell what became of a batch, in longest election timeouts.
_PATIENCE = 2


@define(eq=False)
class ForwardedBatch:
    """Proposals that went to a leader together.

    Attributes:
        to, term: which leader.
        requests: the proposals, in order.
        message: what was sent.
        counts: how many commands each has, in the same order.
        size: about how many bytes.
        keep_from: no entry of it can have a lower index.
        ask_at: when to send it again, if nothing is heard.
        pause_s: from then to the next time.
        ends_at: when nobody will answer any more: once another leads.
        copies: how many were sent, as far as is known: those that the transport refused do not count.
        lost: whether the connections with the leader have ended since: its process has, most likely.
    """

    to: str
    term: int
    requests: list[Request]
    counts: list[int]
    message: ForwardProposals
    size: int
    keep_from: int
    ask_at: float
    pause_s: float
    ends_at: float = math.inf
    copies: int = 1
    lost: bool = False


class Outbox:
    """Proposals on their way from this member to whoever leads. See the module's text.

    Attributes:
        waiting: those that were handed to nobody yet, in order.
        sent: number → batch, for all that are not answered.
    """

    def __init__(self, config: NodeConfig, rng: Random) -> None:
        self._config = config
        self._life = rng.getrandbits(_LIFE_BITS)
        self._last_number = 0
        self._sent_bytes = 0
        self._pause: tuple[int, float] = (0, -math.inf)  # not before then in this term
        self.waiting: dict[Request, None] = {}
        self.sent: dict[int, ForwardedBatch] = {}

    @property
    def keep_from(self) -> int | None:
        """From which entry on results must be kept, as this member may be told late that they are its own."""
        return min([batch.keep_from for batch in self.sent.values()], default=None) if self.sent else None

    def handed_on(self) -> frozenset[Request]:
        """Those that a leader may have taken in, and has not answered: nobody here knows what becomes of them."""
        return frozenset(request for batch in self.sent.values() if batch.copies for request in batch.requests)

    def take(self, requests: Iterable[Request]) -> None:
        """Have these handed on when a leader is known."""
        self.waiting.update(dict.fromkeys(requests))

    def take_back(self, requests: Iterable[Request]) -> None:
        """These were not taken in after all: they come first again, but for those that nobody waits for any more."""
        again = dict.fromkeys(request for request in requests if request.commands)
        self.waiting = {**again, **self.waiting}

    def withdraw(self, request: Request) -> bool:
        """Never hand this one on; return whether it is not too late."""
        if request not in self.waiting:
            return False
        del self.waiting[request]
        return True

    def take_all(self) -> list[Request]:
        """Give up all that wait to be handed on: this node leads by now."""
        waiting, self.waiting = self.waiting, {}
        return list(waiting)

    # --- sending ---------------------------------------------------------------------------------------------

    def send(self, leader: str | None, term: int, commit_index: int, now: float) -> list[Effect]:
        """Hand on what waits, as far as the window goes, and ask again for what was not answered.

        Args:
            leader: another member, which leads this term and knows how to take proposals in; None: nobody.
        """
        effects = self._ask_again(leader, term, now) if self.sent else []
        config = self._config
        paused_term, resume_at = self._pause
        if leader is None or (term == paused_term and now < resume_at):
            return effects
        while (
            self.waiting
            and len(self.sent) < config.max_inflight_appends
            and (self._sent_bytes < config.max_inflight_bytes)
        ):
            effects += self._pack(leader, term, commit_index, now)
        return effects

    def _pack(self, leader: str, term: int, commit_index: int, now: float) -> list[Effect]:
        """Make a batch of the first ones that wait: of one kind, and about as large as an append may be."""
        requests: list[Request] = []
        commands: list[bytes] = []
        size, kind = BATCH_OVERHEAD, EntryKind.COMMAND
        for request in self.waiting:
            own = request.commands
            needed = ENTRY_OVERHEAD * len(own) + sum(map(len, own))
            if requests and (request.kind is not kind or size + needed > self._config.max_append_bytes):
                break
            kind = request.kind
            requests.append(request)
            commands += own
            size += needed
        for request in requests:
            del self.waiting[request]
        self._last_number += 1
        number = self._last_number
        batch = EntryBatch.encode(1, max(term, 1), kind, commands)
        settled_below = min(self.sent, default=number)
        message = ForwardProposals(term, self._life, number, settled_below, (batch,))
        pause_s = self._config.heartbeat_interval_s
        self.sent[number] = ForwardedBatch(
            to=leader,
            term=term,
            requests=requests,
            counts=[len(request.commands) for request in requests],
            message=message,
            size=size,
            keep_from=commit_index + 1,
            ask_at=now + pause_s,
            pause_s=2 * pause_s,
        )
        self._sent_bytes += size
        return [Send(leader, message)]

    def _ask_again(self, leader: str | None, term: int, now: float) -> list[Effect]:
        effects: list[Effect] = []
        longest_s = _LONGEST_PAUSE * self._config.heartbeat_interval_s
        for number, batch in list(self.sent.items()):
            if batch.term == term and batch.to == leader:
                batch.ends_at = math.inf
            elif batch.ends_at == math.inf:
                patience_s = 0.0 if batch.lost else _PATIENCE * self._config.election_timeout_s[1]
                batch.ends_at, batch.ask_at = now + patience_s, now
            if now >= batch.ends_at and not batch.copies:
                self.take_back(self._settle(number).requests)
            elif now >= batch.ends_at:
                effects += self._refuse_all(self._settle(number), LeadershipLost(batch.term, None, batch.to))
            elif now >= batch.ask_at:
                batch.ask_at = now + batch.pause_s
                batch.pause_s = min(2 * batch.pause_s, longest_s)
                batch.copies += 1
                effects.append(Send(batch.to, batch.message))
        return effects

    # --- hearing ---------------------------------------------------------------------------------------------

    def heard(self, sender: str, message: ForwardReply, now: float) -> tuple[ForwardedBatch | None, list[Effect]]:
        """Note what became of a batch; return it where its proposals have their places now (`Request.index`)."""
        batch = self.sent.get(message.number)
        if batch is None or message.life != self._life or batch.to != sender:
            return None, []
        self._settle(message.number)
        match message.outcome:
            case Forwarded.PLACED:
                index = message.index
                for request, count in zip(batch.requests, batch.counts, strict=True):
                    request.index = index
                    index += count
                    request.last_index = index - 1
                return batch, []
            case Forwarded.OVERLOADED:
                return None, self._refuse_all(batch, self._overloaded(sender, message))
            case Forwarded.REFUSED:
                self.take_back(batch.requests)
                # It may take a moment until that leader goes on, if it does. The next one is not waited for longer than
                # until this node hears of it.
                self._pause = (batch.term, now + self._config.heartbeat_interval_s / 4)
                return None, []
            case _:
                # It leads that term no more, and never will again. Whoever tries again at once must not be answered so
                # at the network's pace, until this node hears of the next leader.
                self._pause = max(self._pause, (batch.term, math.inf))
                return None, self._refuse_all(batch, LeadershipLost(batch.term, None, sender))

    def _overloaded(self, leader: str, message: ForwardReply) -> Overloaded:
        """What a leader without room has said of it; one of an older version says no more than that."""
        cause = cause_told(message.cause.decode("ascii", "replace"))
        about = "" if cause is OverloadCause.LEADER else f" ({cause.value})"
        retry_after_s = retry_told(message.retry_after_ms / 1000) or self._config.heartbeat_interval_s
        return Overloaded(f"{leader!r}, which leads, has too much to commit{about}", cause, retry_after_s)

    def not_sent(self, number: int) -> None:
        """The transport has refused to send a batch this time: if no copy of it went, it was taken in by nobody."""
        batch = self.sent.get(number)
        if batch is not None:
            batch.copies -= 1

    def lost(self, peer: str, now: float) -> None:
        """The connections with a member have ended: if it leads no more, nobody waits for its answers."""
        for batch in self.sent.values():
            if batch.to == peer:
                batch.lost = True
                if batch.ends_at < math.inf:
                    batch.ends_at = now

    def refuse_waiting(self, error: NotLeader) -> list[Effect]:
        """Answer all that wait with an error."""
        return [Refuse(request, error) for request in self.take_all()]

    def _settle(self, number: int) -> ForwardedBatch:
        batch = self.sent.pop(number)
        self._sent_bytes -= batch.size
        return batch

    @staticmethod
    def _refuse_all(batch: ForwardedBatch, error: Exception) -> list[Effect]:
        return [Refuse(request, error) for request in batch.requests]
