"""How new a read must be: what an application asks for, and what it is told.

A level is a promise about what the read sees, not about how it is kept. docs/guarantees.md, "What a read sees", says
exactly what each promises, and what it costs.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen

T_co = TypeVar("T_co", covariant=True)


@frozen
class Linearizable:
    """Sees everything that was committed before the call.

    The leader makes sure that it still leads by asking a majority (ReadIndex, dissertation §6.4). Relies on no clock.
    """


@frozen
class BoundedStale:
    """A state that may be stale, by so many seconds or by so many entries at most.

    Args:
        seconds: everything committed so long before the call is seen. Where this node does not know that of its state,
            it reads as `Linearizable` does, after which it knows for the next reads.
        entries: all but the last so many entries that were committed before the call are seen. Asks as `Linearizable`
            does, and waits for fewer entries to be applied.

    Raises:
        ConfigurationError: both are given, or none, or one that is below 0.
    """

    seconds: float | None = None
    entries: int | None = None

    def __attrs_post_init__(self) -> None:
        given = [bound for bound in (self.seconds, self.entries) if bound is not None]
        if len(given) != 1 or not given[0] >= 0:
            raise ConfigurationError(f"a bound in seconds or in entries, from 0 on, and not both: {self}")


@frozen
class ReadYourWrites:
    """Sees at least what a node had applied when it made the token (`Node.read_token`, `ReadResult.token`).

    Asks nobody, and waits until this node has applied as much. A token is a number that grows; it may be sent along
    with a web request, say. A node that is removed meanwhile refuses, with `NotMember`.
    """

    token: int


@frozen
class Local:
    """Sees what this node has applied, however stale. Asks nobody; consecutive reads at one node never go back.

    A node that was removed still answers these, and only these: it gets no new entries, so its state grows older
    without bound.
    """


@frozen
class Lease:
    """As `Linearizable`, without asking a majority, as long as no clock runs faster or slower than `Leases.clock_error`
    allows.

    A leader that holds a lease (`ClusterConfig.leases`) answers at once. A leader without one, and any other node,
    reads as `Linearizable` does.
    """


ReadLevel = Linearizable | Lease | BoundedStale | ReadYourWrites | Local

LINEARIZABLE = Linearizable()


@frozen
class ReadResult(Generic[T_co]):
    """What a read returned, and what it saw.

    Attributes:
        value: what the query returned.
        index: of the last entry that was applied to the state that it saw.
        term: of the same entry.
        age_s: upper bound of the state's age: everything committed so many seconds before the read returned was seen.
            None: not known (a `Local` read at a node that has not asked the leader since it was started).
    """

    value: T_co
    index: int
    term: int
    age_s: float | None

    @property
    def token(self) -> int:
        """For a `ReadYourWrites` that must see at least as much."""
        return self.index
