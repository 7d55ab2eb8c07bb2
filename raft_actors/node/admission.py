"""The bound on what a node has accepted and not yet answered: in bytes, in number, and in how long it takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import trio

from raft_actors.actors.home_thread import HomeThread
from raft_actors.actors.pending import wake
from raft_actors.errors import InternalError, NodeStopped, Overloaded
from raft_actors.node.congestion import CongestionWindow
from raft_actors.overload import OverloadCause
from raft_actors.records import frozen


class Place(Protocol):
    """What an outcome that was let in holds, and gives back when it is settled."""

    @property
    def home(self) -> HomeThread: ...
    def release(self, outcome: Any, /) -> None: ...


class Admitted(Protocol):
    """A proposal or a read, as far as its admission looks at it.

    Attributes:
        place: what it gives its place back to.
        index: see `PendingOutcome`.
        size: bytes it takes of the bound.
    """

    place: Place
    index: int | None
    size: int

    def fail(self, error: BaseException, /) -> None: ...


def _nobody(outcome: Any) -> None:
    raise InternalError(f"nobody hands in {outcome!r}, which waited for room")


class Admission:
    """Bounds what a node has accepted and not yet answered.

    Room that is freed is given to those who wait, in order of arrival, at once and not when they run: so nobody who
    comes in between takes it from them.

    Attributes:
        home: the thread that all who come have to be on.
        closed: whether it lets nobody in any more.
        cause: what ended the node, once it has crashed.
        window: how many may be under way at most, as long as `max_count` allows it.
        hand_in: called with what has waited (see `wait_turn`) and is let in.
    """

    def __init__(
        self,
        node_id: str,
        *,
        max_bytes: int,
        max_count: int,
        home: HomeThread | None = None,
        congestion_delay_s: float | None = None,
        max_wait_s: float | None = None,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self.node_id = node_id
        self.home: HomeThread = home or HomeThread(f"node {node_id!r}")
        self.max_bytes = max_bytes
        self.max_count = max_count
        self.max_wait_s = max_wait_s
        self.bytes: int = 0
        self.closed: bool = False
        self.cause: BaseException | None = None
        self.window: CongestionWindow = CongestionWindow(max_count, congestion_delay_s)
        self.hand_in: Callable[[Any], None] = _nobody
        self._now = now
        self._most = max_count  # the window's size, at hand for every proposal
        self._timed: _Timed | None = None
        self._about: tuple[Any, ...] = ()  # what the text of the last refusal is about
        self._text = ""
        self._admitted: dict[Admitted, None] = {}  # a dict for its order, so that a simulation repeats itself
        # Those that leave first came first: a dict would step over all that have left, each time.
        self._waiting: OrderedDict[Admitted, trio.lowlevel.Task | None] = OrderedDict()
        self._admitting = False
        self._idle = trio.lowlevel.ParkingLot()

    @property
    def count(self) -> int:
        """How many were admitted and are not settled."""
        return len(self._admitted)

    @property
    def waits(self) -> int:
        """How many wait for room."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether there is no room now even for the smallest."""
        return bool(self._waiting) or (len(self._admitted) >= self._most or self.bytes > self.max_bytes)

    def admit_nowait(self, outcome: Admitted) -> None:
        """Let one in.

        Raises:
            Overloaded: there is no room for it now.
            NodeStopped: the node takes no more.
        """
        if self.closed:
            raise NodeStopped(self.node_id) from self.cause
        if not self.admit_if_room(outcome):
            raise self.refusal()

    def admit_if_room(self, outcome: Admitted) -> bool:
        """Let one in if there is room, and nobody waits for it; return whether it was. A closed one takes none."""
        return not (self._waiting or self.closed) and self._take_in(outcome)

    async def admit(self, outcome: Admitted) -> None:
        """Let one in, waiting for room in order of arrival. A checkpoint only where it has to wait.

        Raises:
            NodeStopped: the node takes no more.
        """
        if self.closed:
            raise NodeStopped(self.node_id) from self.cause
        if self.admit_if_room(outcome):
            return

        def give_up(_raise_cancel: Any) -> trio.lowlevel.Abort:
            self.leave_queue(outcome)
            return trio.lowlevel.Abort.SUCCEEDED

        self.window.found_full()
        self._waiting[outcome] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(give_up)
        if outcome not in self._admitted:
            raise NodeStopped(self.node_id) from self.cause

    def wait_turn(self, outcome: Admitted) -> bool:
        """Let one in, and return True; or have it wait for room in order of arrival, and be handed in (`hand_in`) when
        there is some. It is settled with `NodeStopped` where there won't be any.

        Nobody need wait but for the outcome itself: a task that is woken twice would cost twice.

        Raises:
            Overloaded: it would have to wait for longer than `max_wait_s`.
            NodeStopped: the node takes no more.
        """
        if self.closed:
            raise NodeStopped(self.node_id) from self.cause
        if self.admit_if_room(outcome):
            return True
        self.window.found_full()
        if self.max_wait_s is not None and self.wait_s > self.max_wait_s:
            raise self.refusal(OverloadCause.WAIT, self.wait_s - self.max_wait_s)
        self._waiting[outcome] = None
        return False

    def leave_queue(self, outcome: Admitted) -> bool:
        """Have one wait for room no more; return whether it did."""
        if outcome not in self._waiting:
            return False
        del self._waiting[outcome]
        self._admit_waiting()
        return True

    def release(self, outcome: Admitted) -> None:
        """Forget one that was settled, and let the next in."""
        if outcome not in self._admitted:
            return
        del self._admitted[outcome]
        self.bytes -= outcome.size
        if self._waiting:
            self._admit_waiting()
        if not self._admitted and self._idle:
            self._idle.unpark_all()

    def close(self, cause: BaseException | None = None) -> None:
        """Let nobody in any more, nor those who wait for room."""
        self.closed = True
        self.cause = cause
        waiting, self._waiting = self._waiting, OrderedDict()
        for outcome, task in waiting.items():
            if task is not None:
                wake(task)
                continue
            stopped = NodeStopped(self.node_id)
            stopped.__cause__ = cause
            outcome.fail(stopped)

    async def wait_idle(self) -> None:
        """Wait until all that were admitted are settled."""
        while self._admitted:
            await self._idle.park()

    def fail_all(self, error: Callable[[Admitted], Exception]) -> None:
        """Settle all with the error made for each."""
        for outcome in list(self._admitted):
            outcome.fail(error(outcome))

    def _take_in(self, outcome: Admitted) -> bool:
        admitted, size = self._admitted, self.bytes + outcome.size
        # An idle node takes one of any size: else a propose_many larger than the bound could never go.
        if admitted and (size > self.max_bytes or len(admitted) >= self._most):
            return False
        admitted[outcome] = None
        self.bytes = size
        return True

    def _admit_waiting(self) -> None:
        # One that is handed in may be settled at once, which frees its room: the loop below gives that to the next. If
        # each did so itself, they would nest as deep as they are many.
        if self._admitting:
            return
        self._admitting = True
        try:
            while self._waiting:
                outcome = next(iter(self._waiting))
                if not self._take_in(outcome):
                    return
                task = self._waiting.pop(outcome)
                if task is None:
                    self.hand_in(outcome)
                else:
                    wake(task)
        finally:
            self._admitting = False

    # --- how long it takes -----------------------------------------------------------------------------------

    def time(self, outcome: Admitted) -> None:
        """Measure how long this one takes, which was just let in, unless another one is being measured: each batch may
        offer its first.
        """
        if self._timed is None:
            self._timed = outcome.place = _Timed(self, self._now(), len(self._admitted))

    def measured(self, outcome: Admitted, timed: _Timed) -> None:
        """Learn from how long one took; one that was refused, and never had a place in the log, shows nothing."""
        self._timed = None
        if outcome.index is not None:
            now = self._now()
            self.window.measured(now - timed.began_at, max(timed.load, len(self._admitted)), now)
            self._most = self.window.size

    @property
    def wait_s(self) -> float:
        """About how long one that comes now would have to wait for room."""
        return (self.window.delay_s or 0.0) * (len(self._waiting) + 1) / max(1, len(self._admitted))

    @property
    def unanswered_s(self) -> float:
        """For how long, at least, the oldest that is under way has waited for its answer."""
        return 0.0 if self._timed is None else self._now() - self._timed.began_at

    def refusal(self, cause: OverloadCause | None = None, retry_after_s: float = 0.0) -> Overloaded:
        """The error of one that finds no room.

        Args:
            cause: why, if that is known already; None: by the bound that is reached.
            retry_after_s: when to come back, at least.
        """
        window, count = self.window, len(self._admitted)
        window.found_full()
        if cause is None:
            cause = OverloadCause.BYTES
            if count >= self._most:
                cause = OverloadCause.PROPOSALS if count >= self.max_count else OverloadCause.DELAY
        retry_after_s = max(retry_after_s, window.retry_after_s(count, self._now()))
        about = (cause, count, self.bytes, len(self._waiting), window.size, window.delay_s)
        if about != self._about:  # under overload thousands are told the same
            self._about, self._text = about, self._explain(cause)
        return Overloaded(self._text, cause, retry_after_s)

    def _explain(self, cause: OverloadCause) -> str:
        window = self.window
        took = "" if window.delay_s is None else f", as one takes {window.delay_s * 1e3:.1f} ms"
        return (
            f"{_WHY[cause]}: {self.count:,} proposals with {self.bytes:,} bytes wait to be committed and applied, "
            f"{len(self._waiting):,} for room (max_pending_proposals {self.max_count:,}, max_uncommitted_bytes "
            f"{self.max_bytes:,}; now {window.size:,}{took})"
        )


_WHY = {
    OverloadCause.DELAY: "more would only wait",
    OverloadCause.WAIT: "it would wait for room for longer than max_room_wait_s",
    OverloadCause.PROPOSALS: "too many proposals",
    OverloadCause.BYTES: "too many bytes",
    OverloadCause.DISK: "this leader's disk does nothing",
    OverloadCause.NO_MAJORITY: "no majority of the voters answers this leader",
}


@frozen(eq=False)
class _Timed:
    """Holds the place of a proposal that is measured: so the others need not be looked at for it."""

    admission: Admission
    began_at: float
    load: int

    @property
    def home(self) -> HomeThread:
        return self.admission.home

    def release(self, outcome: Admitted) -> None:
        self.admission.measured(outcome, self)
        self.admission.release(outcome)
