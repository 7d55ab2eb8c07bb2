"""What clients ask of a node, as its roles and its applier see it: settling a request calls back, and wakes no task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from typing_extensions import override

from raft_actors.node.admission import Admission
from raft_actors.node.proposals import PendingProposals, PendingRead
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, EntryKind
from raft_actors.raft.sessions import REGISTER


class ClientProposal(PendingProposals[Any]):
    """Entries of a client's session, proposed together.

    Attributes:
        number: the client's, of its request.
        begins: whether it begins a session.
    """

    __slots__ = ("_settled", "begins", "number")

    kind: EntryKind = EntryKind.SESSION

    def __init__(
        self, admission: Admission, entries: list[bytes], number: int, settled: Callable[[ClientProposal], None]
    ) -> None:
        size = BATCH_OVERHEAD + sum(len(entry) + ENTRY_OVERHEAD for entry in entries)
        super().__init__(admission, entries, size)
        self.number: int = number
        self.begins: bool = entries[0][0] == REGISTER
        self._settled = settled

    @override
    @trio.lowlevel.enable_ki_protection
    def _settle(self) -> None:
        super()._settle()
        self._settled(self)


class ClientRead(PendingRead[Any]):
    """A client's query at the level `Linearizable`.

    Attributes:
        number: the client's, of its request.
    """

    __slots__ = ("_settled", "number")

    def __init__(
        self,
        admission: Admission,
        query: Callable[[Any], Any],
        number: int,
        settled: Callable[[ClientRead], None],
    ) -> None:
        super().__init__(admission, query)
        self.number: int = number
        self._settled = settled

    @override
    @trio.lowlevel.enable_ki_protection
    def _settle(self) -> None:
        super()._settle()
        self._settled(self)
