"""From what applications ask of a leader to entries, and back to who waits for them."""

from __future__ import annotations

from collections import deque

from raft_actors.raft.effects import Apply
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, EntryBatch, EntryKind
from raft_actors.raft.requests import Request
from raft_actors.raft.state import RaftState


class Intake:
    """Collects requests during a step, makes batches of them at its end, and keeps them until they are committed.

    Attributes:
        requested: what came during this step; empty between steps.
        uncommitted: proposals and reads whose entry is not committed yet, in log order.
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self.requested: list[Request] = []
        self.uncommitted: deque[Request] = deque()

    def noop(self) -> EntryBatch:
        """An entry that changes nothing, for the end of the log."""
        return EntryBatch.encode(self._state.log.last_index + 1, self._state.term, EntryKind.NOOP, [b""])

    def batches(self) -> list[EntryBatch]:
        """Encode what was proposed during the step as few batches, for the end of the log; place the reads behind it.

        A read is answered when an entry that was appended after the read arrived has been committed and applied here:
        if another leader had committed anything in between, that entry could not commit in this term (§8).
        """
        requested, self.requested = self.requested, []
        proposed = [request for request in requested if not request.is_read]
        batches = self._encode(proposed) if proposed else [self.noop()]
        self.uncommitted += proposed
        if len(proposed) < len(requested):
            self._place_reads(requested, batches[-1].last_index)
        return batches

    def committed(self, index: int) -> Apply:
        """What is to be done with the entries up to `index`, now that they are committed."""
        committed: list[Request] = []
        uncommitted = self.uncommitted
        while uncommitted and uncommitted[0].last_index <= index:
            committed.append(uncommitted.popleft())
        # A proposal of several batches may be committed as far as its first ones.
        keep_from = uncommitted[0].index if uncommitted and (uncommitted[0].index or 0) <= index else None
        return Apply(index, tuple(committed), keep_from)

    def _place_reads(self, requested: list[Request], index: int) -> None:
        for request in requested:
            if request.is_read:
                request.index = request.last_index = index
                self.uncommitted.append(request)

    def _encode(self, proposed: list[Request]) -> list[EntryBatch]:
        """Give each proposal its indexes, and encode all commands in batches of about `max_append_bytes`."""
        index = first_index = self._state.log.last_index + 1
        commands: list[bytes] = []
        for proposal in proposed:
            own = proposal.commands
            proposal.index = index
            index += len(own)
            proposal.last_index = index - 1
            commands += own
        size = BATCH_OVERHEAD + ENTRY_OVERHEAD * len(commands) + sum(map(len, commands))
        if size <= self._state.config.max_append_bytes:
            return [self._command_batch(first_index, commands)]
        return self._encode_split(first_index, commands)

    def _encode_split(self, first_index: int, commands: list[bytes]) -> list[EntryBatch]:
        limit = self._state.config.max_append_bytes
        batches: list[EntryBatch] = []
        start, size = 0, BATCH_OVERHEAD
        for position, command in enumerate(commands):
            needed = len(command) + ENTRY_OVERHEAD
            if position > start and size + needed > limit:
                batches.append(self._command_batch(first_index + start, commands[start:position]))
                start, size = position, BATCH_OVERHEAD
            size += needed
        batches.append(self._command_batch(first_index + start, commands[start:]))
        return batches

    def _command_batch(self, first_index: int, commands: list[bytes]) -> EntryBatch:
        return EntryBatch.encode(first_index, self._state.term, EntryKind.COMMAND, commands)
