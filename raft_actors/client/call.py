"""A request of a client, until it is answered: by whichever node, however often it has to be sent."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from raft_actors.actors.pending import Pending
from raft_actors.client.errors import OutcomeUnknown, Unavailable
from raft_actors.errors import Overloaded, RaftError
from raft_actors.node.client_messages import Ask

if TYPE_CHECKING:
    from raft_actors.client.board import Board, Line


class Need(enum.Enum):
    """What a request takes."""

    LEADER = "a leader"
    """It is proposed. Best at the leader itself."""
    QUORUM = "a node that knows the leader"
    """It is read, at any node, which asks the leader."""
    NODE = "a node"
    """It is read, at any node, which asks nobody."""


class Call(Pending[Any]):
    """One request. What fills it is what `opened` makes of the answer.

    Attributes:
        ask, body: what is sent.
        opened: takes the answer's body apart, and raises `ProtocolError` where it is none.
        need: what it takes.
        deadline: when it is given up.
        in_doubt: whether a node has had it that did not say what became of it. Of a read that does not matter.
        several: whether it proposes several entries, of which some may take effect without the others.
        avoid: a node that has not answered it; None: all have so far.
        sent_at, sent_term: when it was sent last, and in which term.
        line, number: where it is under way now, and as which request; None: nowhere.
        pause_s: how long it waits after the next refusal.
        refusal: the last one, for the text of the error if it is given up.
        overload: the last one, if it was for having too much to do.
    """

    __slots__ = (
        *("_board", "ask", "avoid", "body", "deadline", "in_doubt", "line", "need", "number", "opened", "pause_s"),
        *("overload", "refusal", "sent_at", "sent_term", "several"),
    )

    def __init__(
        self,
        board: Board,
        ask: Ask,
        body: bytes,
        opened: Callable[[memoryview], Any],
        need: Need,
        deadline: float,
        *,
        several: bool = False,
    ) -> None:
        super().__init__()
        self._board = board
        self.ask = ask
        self.body = body
        self.opened = opened
        self.need = need
        self.deadline = deadline
        self.in_doubt = False
        self.several = several
        self.line: Line | None = None
        self.avoid: Line | None = None
        self.sent_at: float = 0.0
        self.sent_term = 0
        self.number = 0
        self.pause_s: float = 0.0
        self.refusal = ""
        self.overload: Overloaded | None = None

    @override
    def _settle(self) -> None:
        self._board.forget(self)
        super()._settle()

    def refuse(self, error: RaftError) -> None:
        """No node that is there would take it."""
        if self.ask is Ask.PROPOSE and self.in_doubt:  # but one may have
            self.fail(OutcomeUnknown(f"the outcome of what was proposed is unknown: {error}"))
        else:
            self.fail(error)

    def give_up(self, why: str) -> None:
        """Nobody could answer it."""
        error: RaftError
        if self.ask is Ask.PROPOSE and (self.in_doubt or self.line is not None):
            error = OutcomeUnknown(f"the outcome of what was proposed is unknown: {why}")
        else:
            error = Unavailable(f"nobody could {'propose' if self.ask is Ask.PROPOSE else 'read'} this: {why}")
            error.__cause__ = self.overload
        self.fail(error)
