"""A leader's lease, in the way of LeaseGuard (arXiv 2512.15659): what may be read without asking anybody.

A new leader commits nothing for a while after its election: for as long as a lease may run, by the slowest and the
fastest of all clocks. So whoever was known to lead at some moment knows that nobody else has committed anything until a
lease's length after it, without a promise of anybody, and without a clock that agrees with another one: they only have
to run about as fast. Elections are as fast as without leases, and the new leader takes proposals, and sends them, at
once.

The moment is the beginning of a round of questions (see `reads`) which a majority has answered: whoever was elected
instead was so later. The paper takes the newest committed entry of the leader's; a round costs no entry, and serves
where nobody writes.

Of two clocks, one that stands still in suspend and one that doesn't, a lease goes by the one that says that more has
passed, and the wait of a new leader by the one that says that less has. So a jump of either ends leases and delays
commits, and does no harm.
"""

from __future__ import annotations

from collections import deque

from raft_actors.config import Leases
from raft_actors.raft.state import RaftState
from raft_actors.records import frozen

#: Rounds under way of which it knows when they began; beyond that, the oldest are of no use.
_MOST_ASKED = 64


@frozen
class Moment:
    """One moment, as this node's two clocks have it."""

    monotonic: float
    boottime: float

    def least_since(self, earlier: Moment) -> float:
        """Seconds that have passed at least."""
        return min(self.monotonic - earlier.monotonic, self.boottime - earlier.boottime)

    def most_since(self, earlier: Moment) -> float:
        """Seconds that have passed at most."""
        return max(self.monotonic - earlier.monotonic, self.boottime - earlier.boottime)


class Lease:
    """The lease of one leadership, and its wait for those of earlier ones.

    Attributes:
        waits: whether it commits nothing yet, as an earlier leader may hold a lease.
        confirmed: when the newest round began that a majority has answered; None: there was none.
        given_up: whether another node was told to stand, which then need not wait: there is no lease in this term any
            more, whatever comes of that.
        wanted: whether anybody has read by it since it was renewed last.
        held: how many scopes there are that end with it: it is renewed as long as there are any.
    """

    def __init__(self, state: RaftState) -> None:
        """For a leader that was elected just now."""
        self._state = state
        self.settings: Leases | None = state.cluster.leases
        self.waits: bool = self.settings is not None and not state.lease_over
        self._elected = self.now()
        self._asked: deque[tuple[int, Moment]] = deque(maxlen=_MOST_ASKED)
        self.confirmed: Moment | None = None
        self.given_up = False
        self.wanted: bool = False
        self.held = 0

    def now(self) -> Moment:
        """This moment."""
        if self.settings is None:
            return Moment(0.0, 0.0)
        return Moment(self._state.monotonic(), self._state.boottime())

    # --- what earlier leaders may hold ---------------------------------------------------------------------------

    @property
    def wait_left_s(self) -> float:
        """How long it commits nothing yet."""
        if not self.waits or self.settings is None:
            return 0.0
        left_s = self.settings.wait_s - self.now().least_since(self._elected)
        self.waits = left_s > 0
        return max(0.0, left_s)

    @property
    def may_commit(self) -> bool:
        """Whether no earlier leader can hold a lease any more."""
        return not self.waits or self.wait_left_s == 0.0

    @property
    def is_over(self) -> bool:
        """Whether no lease runs any more, this leader's own included: it has given that up."""
        return self.settings is not None and self.given_up and not self.waits

    # --- its own -------------------------------------------------------------------------------------------------

    def asked(self, number: int) -> None:
        """Note that a round begins now."""
        if self.settings is not None:
            self._asked.append((number, self.now()))

    def answered(self, number: float) -> None:
        """Note that a majority has answered this round, and so all before it."""
        while self._asked and self._asked[0][0] <= number:
            self.confirmed = self._asked.popleft()[1]

    @property
    def left_s(self) -> float:
        """How long nobody else can have committed anything; 0 where that is not known."""
        if self.settings is None or self.confirmed is None or self.given_up:
            return 0.0
        return max(0.0, self.settings.duration_s - self.now().most_since(self.confirmed))

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can have committed anything by now."""
        return self.left_s > 0.0

    @property
    def has_failed_those_who_hold_it(self) -> bool:
        """Whether there are scopes that must not go on. Where the machine was suspended, no alarm has said so."""
        return self.held > 0 and self.settings is not None and not self.is_valid

    def is_to_be_renewed(self) -> bool:
        """Whether to begin a round for it. Asked with each heartbeat: it forgets then who wanted it before."""
        wanted, self.wanted = self.wanted or self.held > 0, False
        return wanted and self.settings is not None and not self.given_up
