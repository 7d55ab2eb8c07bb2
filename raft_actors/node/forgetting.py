"""A node that has forgotten what it promised, for its store is empty, or an older copy: how it finds out at its start.

Once it runs, it is told so by whichever peer knows, and ends (`node.acquaintances`). Where it may join anew by itself
(`NodeConfig.rejoin_if_wiped`), it asks the others before it runs:

- on an empty store, whether they know it by another one. The store notes that, or it would take itself for the voter
  that the node was when it is started again with a part of the log;
- on any other, whether they have met it at a start that this store never had (`raft.starts`). What it holds is kept
  then, for what was committed still is; but as a store of another incarnation, which has promised nothing yet.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio

from raft_actors.errors import TransportError
from raft_actors.node.asking import Ask, OperationRefused, ask_cluster, member_in
from raft_actors.node_log import NodeLog
from raft_actors.persistence.abc import Storage, StoreIdentity
from raft_actors.raft.newest import Newest
from raft_actors.raft.persistent_state import Recovered
from raft_actors.raft.starts import Met, Renewed, Start
from raft_actors.raft.state import RaftState

_logger = logging.getLogger(__name__)

_PATIENCE_S = 1.0


@asynccontextmanager
async def opened(storage: Storage, identity: StoreIdentity) -> AsyncGenerator[Recovered]:
    """A node's store, before the node runs."""
    recovered = await storage.open(identity, tail_bytes=0)
    try:
        yield recovered
    finally:
        await storage.aclose()  # noqa: ASYNC102 - cancelled, it is closed by and by


async def has_forgotten(recovered: Recovered, identity: StoreIdentity, ask: Ask, addresses: Iterable[str]) -> bool:
    """Whether one of the others knows that this store lacks what the node has promised.

    Args:
        recovered: what the store holds, which is closed.
        identity: whose it is.
        ask: asks one node.
        addresses: of the others.
    """
    node_id, log = identity.node_id, NodeLog(_logger, identity.node_id)
    # An empty store gives them a little time, for it may be the only chance. Another one is found out once the node
    # runs, at the latest, so those who are down are not waited for.
    patience_s, limit_s = (_PATIENCE_S, math.inf) if is_empty(recovered) else (0.0, _PATIENCE_S)
    replies = await _ask_others(ask, addresses, identity.cluster_id, patience_s=patience_s, limit_s=limit_s)
    if is_empty(recovered):
        other = any(_incarnation(reply, node_id) not in ("", recovered.incarnation) for reply in replies)
        return other or any(_was_removed(reply, node_id) for reply in replies)
    for reply in replies:
        met = _met(reply, node_id)
        if met is not None and met.incarnation == recovered.incarnation and recovered.starts.lack(met.start):
            log.warning(
                "has an older copy of its store, without start %d, at which it was met: it is renewed, and joins anew",
                met.start.number,
            )
            return True
    return False


async def renew(recovered: Recovered, identity: StoreIdentity, storage: Storage) -> None:
    """Have a store that lacks what the node has promised know that: also after a start before it is a member's again.

    One that counts no starts can't note it: its node knows it until it ends.

    Raises:
        StorageError: it can't be written.
    """
    knows = is_empty(recovered) and recovered.renewed
    if recovered.starts.latest is not None and not knows:
        async with opened(storage, identity):
            await storage.renew()


async def is_named(incarnation: str, identity: StoreIdentity, ask: Ask, addresses: Iterable[str], than: Newest) -> bool:
    """Whether one of the others has a newer configuration `than` this, which names this store for the node."""
    # One that is paused takes a question, and never answers: this node must not be in doubt for as long.
    limit_s = 2 * _PATIENCE_S
    replies = await _ask_others(ask, addresses, identity.cluster_id, patience_s=_PATIENCE_S, limit_s=limit_s)
    return any(
        _named(reply, identity.node_id) == incarnation and _newest(reply).is_newer_than(than) for reply in replies
    )


def must_still_join(recovered: Recovered, state: RaftState, *, may: bool) -> bool:
    """Whether a store that was renewed was not taken in yet, as far as it knows: one that is only named was not.

    Args:
        state: what its node starts with.
        may: whether its node may join by itself where it found out only while it ran.
    """
    joins = recovered.renewed is Renewed.JOINS or (may and recovered.renewed is Renewed.DOUBTS)
    return joins and state.has_lost_promises


def is_empty(recovered: Recovered) -> bool:
    """Whether a store holds no log. It may hold a vote."""
    return not recovered.last_index and recovered.snapshot is None


def has_begun(reply: dict[str, Any], node_id: str) -> bool:
    """Whether the members, as one of them says, have changed since the cluster began, or have met this one of them."""
    has_met = bool(_incarnation(reply, node_id)) or _met(reply, node_id) is not None
    return has_met or _index(reply) > 0 or bool(reply.get("withheld"))


async def _ask_others(
    ask: Ask, addresses: Iterable[str], cluster_id: str, *, patience_s: float, limit_s: float
) -> list[dict[str, Any]]:
    """Who the members are, and at which start they were met, as those of the others say who answer soon."""
    replies: list[dict[str, Any]] = []

    async def look(address: str) -> None:
        try:
            asked = await ask_cluster(ask, [address], "members", cluster_id=cluster_id, patience_s=patience_s)
        except (OperationRefused, TransportError):
            return
        replies.append(asked.reply)

    with trio.move_on_after(limit_s):
        async with trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(look, address)
    return replies


def _was_removed(reply: dict[str, Any], node_id: str) -> bool:
    """Whether a voter that the cluster began with is none any more: if it comes back, it is not the one that it was."""
    is_voter = member_in(reply, node_id).get("role") == "voter"
    found: Any = reply.get("initial_voters")
    initial_voters: dict[str, Any] = found
    return type(found) is dict and node_id in initial_voters and _index(reply) > 0 and not is_voter


def _incarnation(reply: dict[str, Any], node_id: str) -> str:
    return str(member_in(reply, node_id).get("incarnation", ""))


def _named(reply: dict[str, Any], node_id: str) -> str:
    return str(member_in(reply, node_id).get("named", ""))


def _newest(reply: dict[str, Any]) -> Newest:
    found: Any = reply.get("config_term")
    term: int = found
    return Newest(_index(reply), term if type(found) is int else 0)


def _index(reply: dict[str, Any]) -> int:
    found: Any = reply.get("config")
    index: int = found
    return index if type(found) is int else 0


def _met(reply: dict[str, Any], node_id: str) -> Met | None:
    """At which start the node that has replied has met another one."""
    found: Any = reply.get("met")
    met: dict[str, Any] = found
    if type(found) is not dict:
        return None
    said: Any = met.get(node_id)
    one: dict[str, Any] = said
    if type(said) is not dict:
        return None
    incarnation, number, nonce = (one.get(name) for name in ("incarnation", "number", "nonce"))
    if isinstance(incarnation, str) and isinstance(number, int) and isinstance(nonce, str):
        return Met(incarnation, Start(number, nonce))
    return None
