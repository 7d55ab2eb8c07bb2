"""File descriptors: how many clients a node may take without ever lacking one for its store.

A store that can't open a file ends its node, so strangers must not be able to use descriptors up. The bounds on
clients, on callers at the peers' port and on peers add up to less than the process may have; the rest is the store's.
"""

from __future__ import annotations

import sys

from raft_actors.errors import ConfigurationError

if sys.platform != "win32":  # which has no such limit
    import resource

RESERVE = 64
"""For the store, listeners, the event loop, standard streams, and clients who are only told that there is no room."""

STRANGERS = 64 + 16
"""Callers at the peers' port who have not said who they are (`TcpTransport.max_handshakes`), and those being closed."""

_FOR_EACH_PEER = 4  # a connection each way, and the ones that replace them


def room_for_clients(wanted: int, *, peers: int) -> int:
    """Raise the process's soft limit as far as is needed and allowed; return how many clients there is room for.

    Raises:
        ConfigurationError: there is room for none.
    """
    if sys.platform == "win32":
        return wanted
    others = RESERVE + STRANGERS + _FOR_EACH_PEER * peers
    needed = others + wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    granted = min(wanted, soft - others)
    if granted < 1:
        raise ConfigurationError(
            f"this process may open {soft} files: the store and other nodes may need {others}, which leaves none for a "
            f"client; raise the limit (ulimit -n) to {needed}"
        )
    return granted
