"""The starts of a store: how the cluster tells a store from an older copy of it.

A copy has the incarnation of the store that it was made of, and opens as that one would. So each opening of a store is
a start, with a number and a random nonce, which the store keeps before its node greets anybody. A node remembers at
which start it has met each of its peers last, and says so when it greets that peer again. The peer looks for that start
among its own: a store that does not have it was copied, and put back, before that start, and has forgotten what the
node has promised since.

It is the store that is asked, not its peers that judge by a number: however often a copy is started, the start that
somebody remembers is never among its own. And a start that is remembered was on the disk before: where files are whole,
it is found, whenever a node crashes, moves to another machine or goes back to an older version for a while.
"""

from __future__ import annotations

import enum

import attrs

from raft_actors.records import frozen

NONCE_BYTES = 8

MOST_STARTS = 65_536
"""A store keeps so many, 8 bytes each. Nobody can tell of an older one; one a minute makes them last 45 days."""


class Renewed(enum.IntEnum):
    """Whether a store knows that it lacks what its node has promised. The numbers are the store's, and stay."""

    NO = 0
    JOINS = 1
    """It was renewed, and its node joins anew."""
    DOUBTS = 2
    """Its node found that out while it ran, and joins anew by itself only where it may."""


@frozen
class Start:
    """One opening of a store.

    Attributes:
        number: counts the openings, from 1.
        nonce: drawn at random for it, as 16 hexadecimal digits.
    """

    number: int
    nonce: str


@frozen
class Met:
    """Which store has spoken for a peer, and at which of its starts, when it was reached last."""

    incarnation: str
    start: Start


@frozen
class Starts:
    """The starts of one store, as it keeps them.

    Attributes:
        last: the number of the latest; 0 where none was counted.
        nonces: of the latest ones, `NONCE_BYTES` each, oldest first.
    """

    last: int = 0
    nonces: bytes = attrs.field(default=b"", repr=lambda nonces: f"<{len(nonces) // NONCE_BYTES} nonces>")

    @property
    def latest(self) -> Start | None:
        """The start that the store is in; None where it counts none."""
        return Start(self.last, self.nonces[-NONCE_BYTES:].hex()) if self.last else None

    def with_next(self, nonce: str) -> Starts:
        """These, and one more."""
        kept = self.nonces[-(MOST_STARTS - 1) * NONCE_BYTES :]
        return Starts(self.last + 1, kept + bytes.fromhex(nonce))

    def lack(self, start: Start) -> bool:
        """Whether the store has surely never had this start. One so old that it is not kept may have been."""
        if start.number > self.last:
            return True
        position = len(self.nonces) - (self.last + 1 - start.number) * NONCE_BYTES
        return position >= 0 and self.nonces[position : position + NONCE_BYTES].hex() != start.nonce


def latest_met(before: Met | None, now: Met) -> Met:
    """What is remembered of a peer that is reached now: a greeting that comes late tells of no earlier start."""
    if before is not None and before.incarnation == now.incarnation and before.start.number >= now.start.number:
        return before
    return now
