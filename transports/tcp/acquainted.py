"""From where peers and clients have come, or were reached: a flood of strangers keeps none of them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import attrs

from raft_actors.records import define
from raft_actors.transports.sockets.accepting import network_of


@define(eq=False)
class Acquainted:
    """Networks of one transport's peers and clients (see `network_of`).

    Bounded by the number of connections and of peers: nothing is remembered of who has gone, but for where a peer was
    reached last, since a node that has just started has to let its peers in before any of them is connected.
    """

    _open: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _reached: dict[str, str] = attrs.field(factory=dict[str, str], init=False)

    @contextmanager
    def connected(self, host: str) -> Generator[None]:
        """Somebody there has said who it is, and is connected in the block."""
        network = network_of(host)
        self._open[network] += 1
        try:
            yield
        finally:
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]

    def reached(self, peer: str, host: str) -> None:
        """This node has called a peer, which was there."""
        self._reached[peer] = network_of(host)

    def forget(self, peer: str) -> None:
        """It is a peer no more."""
        self._reached.pop(peer, None)

    def has(self, network: str) -> bool:
        """Whether anybody of that network is known."""
        return network in self._open or network in self._reached.values()

    def networks(self) -> Iterator[str]:
        """All that are known, those of peers first. One may come twice."""
        yield from self._reached.values()
        yield from self._open
