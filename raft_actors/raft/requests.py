"""What applications ask of a role, as far as a decision looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from raft_actors.raft.entries import EntryKind
from raft_actors.raft.membership import Member
from raft_actors.records import frozen


class Request(Protocol):
    """A proposal or a read. Whoever handed it in waits for its outcome; a decision only says what that is.

    Attributes:
        forward: whether it may be handed on to the leader, where this member is none.
        kind: what its entries are.
        is_read: whether it proposes nothing, and asks when all is applied that was committed before it came.
        commands: what it proposes, encoded; none for a read.
        index: log index of its first command once the leader has appended it (for a read: of the entry that must be
            applied before it), else None.
        last_index: log index of its last command, likewise; 0 before.
    """

    @property
    def forward(self) -> bool: ...
    @property
    def kind(self) -> EntryKind: ...
    @property
    def is_read(self) -> bool: ...

    commands: Sequence[bytes]
    index: int | None
    last_index: int

    def cut(self, last_index: int, term: int) -> None:
        """Note that only the commands up to `last_index` are committed, of those that had their places in `term`."""


class ReadRequest(Request, Protocol):
    """A read that needs no entry of its own.

    Attributes:
        done: whether it was answered, or nobody waits for it any more.
        settled_in: a term in which it concerns nothing that its leader can't know yet to be committed (see
            `StateMachine.touches`); 0: in none.
    """

    done: bool
    settled_in: int


class TransferRequest(Protocol):
    """That leadership should go to another member. Whoever handed it in waits to hear who leads.

    Attributes:
        to: the member's id; None leaves the choice to the leader.
    """

    to: str | None


class ChangeRequest(Protocol):
    """That the members should change. Whoever handed it in waits to hear that the change has begun.

    Attributes:
        voters, learners: who shall vote, and who else shall get the log; None: as now.
        members: what is told of newcomers, and of those of whom something changes.
        priorities: id → priority (`Member.priority`), of those of whom it changes.
        addresses: id → address, of those of whom nothing else changes.
        if_config: the index of the configuration that this was decided on, or None for any.
        promote: whether newcomers among the voters may have to catch up first. Else it is refused.
        cancels: whether it asks for nothing but the end of the change under way.
    """

    @property
    def voters(self) -> frozenset[str] | None: ...

    @property
    def learners(self) -> frozenset[str] | None: ...

    @property
    def members(self) -> Mapping[str, Member]: ...

    @property
    def priorities(self) -> Mapping[str, int]: ...

    @property
    def addresses(self) -> Mapping[str, str]: ...

    @property
    def if_config(self) -> int | None: ...

    @property
    def promote(self) -> bool: ...

    @property
    def cancels(self) -> bool: ...


@frozen
class Handover:
    """What a leader that has told another to lead leaves behind: who waits to hear who leads now.

    Attributes:
        request: the transfer itself; its requester hears it too. None where the leader handed over by itself.
        held: proposals and reads that came during the transfer; none of them is in the log.
    """

    request: TransferRequest | None
    held: tuple[Request, ...]
