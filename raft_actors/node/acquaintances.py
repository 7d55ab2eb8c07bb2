"""Whom a node takes its peers for: each id, and the incarnation of the store that speaks for it.

Raft counts on what a member has promised, and the promises are in its store. One that comes back under its id with
another store has forgotten its vote and its entries: with it, a candidate could win a term that has a leader, or win
without entries that are committed. So nobody who has met it takes it for the one that it was, and it ends once it hears
so: whichever of its peers it asks first.

What is known of others is what they have said since this node started.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from raft_actors.errors import StoreReplaced
from raft_actors.node.node_log import NodeLog
from raft_actors.transports.greeting import Greeting, Refusal

_logger = logging.getLogger(__name__)


class Acquaintances:
    """One node's. Its methods are called by the transport, on the node's thread.

    Attributes:
        incarnation: of this node's own store, once it is open.
    """

    def __init__(self, node_id: str, fail: Callable[[Exception], None]) -> None:
        """`fail` ends the node with an error."""
        self.incarnation = ""
        self._node_id = node_id
        self._fail = fail
        self._met: dict[str, str] = {}
        self._log = NodeLog(_logger, node_id)

    def admit(self, greeting: Greeting) -> Refusal | None:
        """Say whether this is the peer that has its id; see `Endpoint.admit`."""
        if not greeting.incarnation:  # a version that does not say: nothing is known against it
            return None
        known = self._met.setdefault(greeting.sender, greeting.incarnation)
        if known == greeting.incarnation:
            return None
        return Refusal(
            "OTHER_INCARNATION",
            f"node {greeting.sender!r} is known by the store {known}, and this one is {greeting.incarnation}: "
            "its files were lost, or its id is used twice",
        )

    def refused(self, peer: str, refusal: Refusal) -> None:
        """A peer does not take this node for the one that has its id; see `Endpoint.refused`."""
        self._log.error("is refused by %r: %s", peer, refusal.detail)
        self._fail(
            StoreReplaced(
                f"node {peer!r} knows {self._node_id!r} by another store than this one ({self.incarnation}): its files "
                "were lost or replaced, or another process uses its id. Its vote and the entries that it acknowledged "
                "are not in this store, and the others count on them. Start it on the files that it had; where they "
                "are lost, leave it out: the others go on as long as they are a majority"
            )
        )
