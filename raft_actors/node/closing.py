"""Letting go of a storage when its node ends."""

from __future__ import annotations

import trio

from raft_actors.errors import StorageFailed
from raft_actors.persistence.abc import Storage

#: How long a storage may take to finish what it was asked and close, before its node ends without it.
_CLOSE_TIMEOUT_S = 30.0


async def closed(storage: Storage, node_id: str) -> Exception | None:
    """Let others open the storage, whatever ended the node; but a disk may hang for ever. Returns what went wrong."""
    try:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_TIMEOUT_S) as scope:
            await storage.aclose()
        if scope.cancelled_caught:
            raise StorageFailed(f"the store of node {node_id!r} did not close in {_CLOSE_TIMEOUT_S:.0f} s")
    except Exception as error:  # noqa: BLE001 - the caller's to raise or to add to another
        return error
    return None
