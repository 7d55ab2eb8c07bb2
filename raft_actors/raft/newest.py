"""Which of two nodes knows the newer configuration of the members.

An index alone does not tell: a leader that was deposed may have a configuration far up in entries that nobody else has.
What others commit after it has a lower index perhaps, but a later term. And who holds a configuration of a later term
has all that was committed before the leader of that term appended it, for that leader had.

An entry that was compacted away is said to be of the term that the snapshot ends with. That is no earlier than its
own; and a configuration that was committed later, and that the snapshot does not hold, is of no earlier term than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_actors.records import frozen

if TYPE_CHECKING:
    from raft_actors.raft.configurations import Configurations
    from raft_actors.raft.log import Log


@frozen
class Newest:
    """The newest configuration that a node knows.

    Attributes:
        index: of its entry; 0: the one that the cluster began with.
        term: of its entry; 0: not known, as an older version does not say it.
    """

    index: int = 0
    term: int = 0

    @classmethod
    def of(cls, configurations: Configurations, log: Log) -> Newest:
        """The one in force in a node's log."""
        index = configurations.latest.index
        term = log.term_at(index)
        if term is None:
            term = 0 if log.snapshot is None else log.snapshot.term
        return cls(index, term)

    def is_newer_than(self, other: Newest) -> bool:
        """Whether who knows this one may know what who knows the other one has missed.

        At the same index it is taken for the same one, for a snapshot's term may stand for that of its entry.
        """
        if self.index == other.index or not (self.term and other.term):
            return self.index > other.index
        return (self.term, self.index) > (other.term, other.index)
