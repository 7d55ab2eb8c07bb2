"""File descriptors: how many clients a node may take without ever lacking one for its store.

A store that can't open a file ends its node, so strangers must not be able to use descriptors up. The bounds on
clients of both kinds, on callers at the peers' port, on operators and on peers add up to less than the process may
have; the rest is the store's.
"""

from __future__ import annotations

import sys

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen

if sys.platform != "win32":  # which has no such limit
    import resource

RESERVE = 64
"""For the store, listeners, the event loop, standard streams, and clients who are only told that there is no room."""

STRANGERS = 64 + 16
"""Callers at the peers' port who have not said who they are (`TcpTransport.max_handshakes`), and those being closed."""

OPERATORS = 64
"""Operators, and nodes that want to join, who are served at a time (`tcp.operators`)."""

LET_IN_AT_ONCE = 64
"""Clients at the peers' port who were told that there is room while others took it: as many as strangers, at most."""

_FOR_EACH_PEER = 4  # a connection each way, and the ones that replace them
_SHARE = 4  # of what is too little for all, the clients at the peers' port get at least one part of so many


@frozen
class Clients:
    """How many at a time.

    Attributes:
        redis: Redis clients, at the port that is theirs.
        raft: clients of the library (`RaftClient`), at the peers' port.
    """

    redis: int
    raft: int


def room_for_clients(wanted: Clients, *, peers: int) -> Clients:
    """Raise the process's soft limit as far as is needed and allowed; return how many clients there is room for.

    Where there is not enough for all, Redis clients go first, but for a quarter.

    Raises:
        ConfigurationError: there is no room for one of each kind.
    """
    if sys.platform == "win32":
        return wanted
    others = RESERVE + STRANGERS + OPERATORS + LET_IN_AT_ONCE + _FOR_EACH_PEER * peers
    needed = others + wanted.redis + wanted.raft
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    left = min(soft, needed) - others
    if left < 2:  # one of each kind
        raise ConfigurationError(
            f"this process may open {soft} files: the store, other nodes and operators may need {others}, which leaves "
            f"too few for clients; raise the limit (ulimit -n) to {needed}"
        )
    raft = min(wanted.raft, max(left - wanted.redis, left // _SHARE, 1))
    return Clients(min(wanted.redis, left - raft), raft)
