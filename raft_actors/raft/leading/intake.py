"""From what applications ask of a leader to entries, and back to who waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import cast

from raft_actors.raft.effects import Apply, Refuse
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, EntryBatch, EntryKind
from raft_actors.raft.leading.forwarded import ForwardedProposal
from raft_actors.raft.requests import ReadRequest, Request
from raft_actors.raft.sessions import LogClock
from raft_actors.raft.state import RaftState

_PLAIN = EntryKind.COMMAND  # at hand: each proposal is asked for its kind
_last_index = attrgetter("last_index")


class Intake:
    """Collects requests during a step, makes batches of them at its end, and keeps them until they are committed.

    Attributes:
        requested: what came during this step; empty between steps.
        clock: counts the time that sessions go by.
        handed_on: what other members have handed on during this step.
        uncommitted: proposals and reads whose entry is not committed yet, in log order.
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self.clock: LogClock = LogClock()
        self.requested: list[Request] = []
        self.handed_on: list[ForwardedProposal] = []
        self.uncommitted: deque[Request] = deque()

    def noop(self) -> EntryBatch:
        """An entry that changes nothing, for the end of the log."""
        return EntryBatch.encode(self._state.log.last_index + 1, self._state.term, EntryKind.NOOP, [b""])

    def batches(self, now: float) -> list[EntryBatch]:
        """Encode what was proposed during the step as few batches, for the end of the log; place the reads behind it.

        A read is answered when an entry that was appended after the read arrived has been committed and applied here:
        if another leader had committed anything in between, that entry could not commit in this term (§8).
        """
        requested, self.requested = self.requested, []
        proposed = [request for request in requested if not request.is_read]
        handed_on, self.handed_on = self.handed_on, []
        first_index = self._state.log.last_index + 1
        if self._state.intake_sorts:
            batches = self._encode_sorted([*proposed, *handed_on], first_index, now)
            if len(batches) > 1:  # they may stand in another order
                proposed.sort(key=_last_index)
        else:
            batches = self._encode([*proposed, *handed_on], first_index)
        batches = batches or [self.noop()]
        self.uncommitted += proposed
        if len(proposed) < len(requested):
            self._place_reads(requested, batches[-1].last_index)
        return batches

    def committed(self, index: int) -> list[Apply | Refuse]:
        """What is to be done with the entries up to `index`, now that they are committed."""
        committed: list[Request] = []
        uncommitted = self.uncommitted
        while uncommitted and uncommitted[0].last_index <= index:
            committed.append(uncommitted.popleft())
        # A proposal of several batches may be committed as far as its first ones.
        keep_from = uncommitted[0].index if uncommitted and (uncommitted[0].index or 0) <= index else None
        return self._state.apply(index, tuple(committed), keep_from)

    def _place_reads(self, requested: list[Request], index: int) -> None:
        """Behind the entry that they wait for; but those that nobody waits for any more, whose places are others' now:
        else there would be more of them here than are ever admitted.
        """
        for request in requested:
            if request.is_read and not cast("ReadRequest", request).done:
                request.index = request.last_index = index
                self.uncommitted.append(request)

    def _encode_sorted(self, proposed: list[Request], first_index: int, now: float) -> list[EntryBatch]:
        """The same where some are entries of sessions: those go last, behind the time if that is due."""
        entries = [proposal for proposal in proposed if proposal.kind is not _PLAIN]
        plain: list[Request] = []
        if len(entries) < len(proposed):
            plain = [proposal for proposal in proposed if proposal.kind is _PLAIN]
        batches = self._encode(plain, first_index)
        if entries:
            time = self.clock.tick(now)
            first_index = batches[-1].last_index + 1 if batches else first_index
            batches += self._encode(entries, first_index, [] if time is None else [time], EntryKind.SESSION)
        return batches

    def _encode(
        self,
        proposed: list[Request],
        first_index: int,
        before: Sequence[bytes] = (),
        kind: EntryKind = EntryKind.COMMAND,
    ) -> list[EntryBatch]:
        """Give each proposal its indexes, and encode all commands in batches of about `max_append_bytes`."""
        if not proposed:
            return []
        commands = [*before]
        index = first_index + len(commands)
        for proposal in proposed:
            own = proposal.commands
            proposal.index = index
            index += len(own)
            proposal.last_index = index - 1
            commands += own
        size = BATCH_OVERHEAD + ENTRY_OVERHEAD * len(commands) + sum(map(len, commands))
        if size <= self._state.config.max_append_bytes:
            return [self._batch(first_index, commands, kind)]
        return self._encode_split(first_index, commands, kind)

    def _encode_split(self, first_index: int, commands: list[bytes], kind: EntryKind) -> list[EntryBatch]:
        limit = self._state.config.max_append_bytes
        batches: list[EntryBatch] = []
        start, size = 0, BATCH_OVERHEAD
        for position, command in enumerate(commands):
            needed = len(command) + ENTRY_OVERHEAD
            if position > start and size + needed > limit:
                batches.append(self._batch(first_index + start, commands[start:position], kind))
                start, size = position, BATCH_OVERHEAD
            size += needed
        batches.append(self._batch(first_index + start, commands[start:], kind))
        return batches

    def _batch(self, first_index: int, commands: list[bytes], kind: EntryKind) -> EntryBatch:
        return EntryBatch.encode(first_index, self._state.term, kind, commands)
