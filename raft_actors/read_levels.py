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
    """All that was committed before the call. Asks the leader, and the leader a majority; counts on no clock."""


@frozen
class BoundedStale:
    """All that was committed some seconds before the call; or all that was before the call but for the last entries.

    Args:
        seconds: a state that is known to have been the newest so long ago will do. Where none is, it is read as
            `Linearizable` is, which makes the next ones cheap.
        entries: so many entries may be missing. Asks as `Linearizable` does, and waits less for what is to be applied.

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
    """All that a token stands for: what a node had applied when it made it (`Node.read_token`, `ReadResult.token`).

    Asks nobody, and waits until this node has applied as much. A token is a number that grows, and may be sent along
    with a web request, say. A node that is removed meanwhile refuses, with `NotMember`.
    """

    token: int


@frozen
class Local:
    """What this node has applied, however old. Asks nobody; consecutive reads at one node never go back.

    A node that was removed answers these alone: it gets nothing new, so what it says grows older without bound.
    """


@frozen
class Lease:
    """All that was committed before the call, as long as no clock is more wrong than `Leases.clock_error` says.

    A leader that holds a lease (`ClusterConfig.leases`) answers without asking anybody. Where there is none now, and at
    other nodes, it is read as `Linearizable` is.
    """


ReadLevel = Linearizable | Lease | BoundedStale | ReadYourWrites | Local

LINEARIZABLE = Linearizable()


@frozen
class ReadResult(Generic[T_co]):
    """What a read returned, and what it saw.

    Attributes:
        value: what the query returned.
        index, term: the last entry that was applied to the state that it saw.
        age_s: nothing that had been committed so long before the read returned was missing, in seconds; None: nobody
            knows (a `Local` read at a node that has not asked the leader since it was started).
    """

    value: T_co
    index: int
    term: int
    age_s: float | None

    @property
    def token(self) -> int:
        """For a `ReadYourWrites` that must see at least as much."""
        return self.index
