"""The history of a cluster's clients: what they asked, what they were answered, and when, for `check_history`."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    NotCommitted,
    NotLeader,
    Overloaded,
)
from raft_actors.testing.linearizability import UNKNOWN, Operation


class Outcome(enum.StrEnum):
    """What is known of a call."""

    OPEN = "open"
    """It is under way, or its outcome will never be known: it may take effect at any time, or not at all."""
    ANSWERED = "answered"
    NOT_PROPOSED = "not proposed"
    """It has not taken effect and never will (proposed or not): it is no part of the history."""


def outcome_of(error: BaseException) -> Outcome:
    """What an error of `Node.propose` or `Node.read` says of the call that raised it."""
    if isinstance(error, CommandFailed):
        return Outcome.ANSWERED
    if isinstance(error, NotCommitted) and not error.results:
        return Outcome.NOT_PROPOSED
    if isinstance(error, NotLeader | Overloaded | CommandTooLarge | TypeError):
        return Outcome.NOT_PROPOSED
    return Outcome.OPEN


@attrs.define(eq=False)
class Call:
    """One call of one client, under way or over. Made by `History`.

    Attributes:
        number: counts the calls of a history, from 1.
        outcome: what is known of it.
        response: what it was answered, or `UNKNOWN`.
    """

    history: History = attrs.field(repr=False)
    number: int
    client: str
    request: Any
    start_s: float
    start_order: int
    outcome: Outcome = Outcome.OPEN
    response: Any = UNKNOWN
    end_s: float = math.inf
    end_order: int = 1

    def returned(self, response: Any) -> None:
        """It was answered, just now."""
        self._close()
        self.outcome, self.response = Outcome.ANSWERED, response
        self.end_s, self.end_order = self.history.now()

    def not_proposed(self) -> None:
        """It has not taken effect and never will: forget it."""
        self._close()
        self.outcome = Outcome.NOT_PROPOSED

    def raised(self, error: BaseException) -> None:
        """It ended with this error, just now: a `CommandFailed` is an answer like any other."""
        match outcome_of(error):
            case Outcome.ANSWERED:
                self.returned(error)
            case Outcome.NOT_PROPOSED:
                self.not_proposed()
            case Outcome.OPEN:
                pass

    def operation(self) -> Operation:
        """The call as `check_history` takes it."""
        return Operation(
            self.client, self.request, self.response, self.start_s, self.end_s, self.start_order, self.end_order
        )

    def _close(self) -> None:
        if self.outcome is not Outcome.OPEN:
            raise ConfigurationError(f"call {self.number} of {self.client!r} is over: {self.outcome}")


class History:
    """Records calls, in the order in which they are made and answered.

        with history.calling("client 1", Put("x", 1)) as call:
            call.returned(await node.propose(Put("x", 1)))

    An error that leaves the block is looked at: a call that was not proposed is dropped, any other stays open.
    """

    def __init__(self, *, clock: Callable[[], float] = trio.current_time) -> None:
        self.calls: list[Call] = []
        self._clock = clock
        # Above what operations have that were not recorded; many calls can have one time on a simulated clock.
        self._order = 1

    def now(self) -> tuple[float, int]:
        """The time, and a number higher than all before."""
        self._order += 1
        return self._clock(), self._order

    def begin(self, client: str, request: Any) -> Call:
        """A client calls, just now."""
        call = Call(self, len(self.calls) + 1, client, request, *self.now())
        self.calls.append(call)
        return call

    @contextmanager
    def calling(self, client: str, request: Any, *, read: bool = False) -> Generator[Call, None, None]:
        """A client calls for the length of a block, which says what it was answered (`Call.returned`).

        Args:
            read: whether the call changes nothing: then one that was not answered, for whatever reason, is dropped.

        A block that ends without an answer, or with an error that leaves it unknown, leaves the call open.
        """
        call = self.begin(client, request)
        try:
            yield call
        except BaseException as error:
            if call.outcome is Outcome.OPEN:
                call.raised(error)
            raise
        finally:
            if read and call.outcome is Outcome.OPEN:
                call.not_proposed()

    def operations(self) -> list[Operation]:
        """All calls but those that were never proposed, by their start; what is still under way counts as unknown."""
        return [call.operation() for call in self.calls if call.outcome is not Outcome.NOT_PROPOSED]

    def __len__(self) -> int:
        """How many calls were made, those included that were never proposed."""
        return len(self.calls)
