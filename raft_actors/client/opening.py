"""Opening a client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from raft_actors.actors.home_thread import current_task
from raft_actors.actors.one_error import leaves, one_error
from raft_actors.client.client import RaftClient
from raft_actors.client.errors import OutcomeUnknown, Unavailable
from raft_actors.state_machine import StateMachine
from raft_actors.transports.conversation import Dialer
from raft_actors.transports.sockets.addresses import Address
from raft_actors.transports.tcp.dialer import TcpDialer
from raft_actors.transports.tls.config import TlsConfig

M = TypeVar("M", bound=StateMachine[Any, Any])

_SILENCE_S = 0.8

_CONSEQUENCES = (trio.Cancelled, Unavailable, OutcomeUnknown)
"""What a block meets when its client crashes."""


@asynccontextmanager
async def open_client(  # noqa: PLR0913 - keywords
    addresses: Collection[str],
    state_machine: type[M],
    *,
    cluster: str,
    tls: TlsConfig | None = None,
    name: str = "client",
    patience_s: float = 30.0,
    silence_s: float = _SILENCE_S,
    dialer: Dialer | None = None,
    seed: int | None = None,
) -> AsyncGenerator[RaftClient[M], None]:
    """Open a client of a cluster for the length of an `async with` block. No node need be there yet.

    It connects with all members that it learns of, so it goes on when those at `addresses` are gone. When a node goes,
    requests are sent again to another one; commands are carried out once all the same.

    If the client crashes, the block is cancelled and the client's error is raised. An error of the block comes out as
    itself.

    Args:
        addresses: where members are reached by other nodes; one that answers is enough.
        state_machine: its class, for how commands, results, queries and answers travel. It is not made.
        cluster: the cluster's id; nodes of another one serve nobody who asks for this.
        tls: where nodes have it: this client's own certificate, its key, and the CA of the nodes. Its name says what it
            may do (`TlsConfig.clients` of the nodes).
        name: what the client calls itself, for the nodes' logs.
        patience_s: a request that has no answer after so long raises `Unavailable` or `OutcomeUnknown`.
        silence_s: a node that says nothing for so long while it is asked something is asked no more.
        dialer: how nodes are reached, instead of by TCP: `MemoryNetwork.dialer`, in tests.
        seed: of its random pauses. None draws one from the operating system.

    Raises:
        ConfigurationError: an argument can't work.
        UsageError: this is no Trio task.
    """
    current_task()
    client: RaftClient[M] = RaftClient(
        addresses,
        state_machine,
        cluster=cluster,
        dialer=dialer or TcpDialer(name=name, tls=tls),
        patience_s=patience_s,
        silence_s=silence_s,
        seed=seed,
    )
    if dialer is None:
        for address in addresses:
            Address.parse(address)
    body_error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(client.run)
            try:
                yield client
                await client.aclose()
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, when the client has ended
                body_error = error
            nursery.cancel_scope.cancel()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - what is not raised here is raised below
        # A block with a nursery of its own has as many consequences of a crash as it has tasks.
        if body_error is None or all(isinstance(leaf, _CONSEQUENCES) for leaf in leaves(body_error)):
            raise one_error(error) from None  # noqa: ASYNC104 - the error itself
    if body_error is not None:
        raise body_error
