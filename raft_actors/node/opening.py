"""Opening a node: as an async context manager, and in the form that `nursery.start` takes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from raft_actors.actors.home_thread import current_task
from raft_actors.actors.one_error import leaves, one_error
from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import NodeStopped
from raft_actors.node.joining import Join
from raft_actors.node.node import Node
from raft_actors.persistence.abc import Storage
from raft_actors.state_machine import StateMachine
from raft_actors.transports.abc import Transport

M = TypeVar("M", bound=StateMachine[Any, Any])


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_node(
    node_id: str,
    *,
    cluster: ClusterConfig,
    state_machine: M | Callable[[], M],
    storage: Storage,
    transport: Transport,
    config: NodeConfig | None = None,
    join: bool | Join = False,
) -> AsyncGenerator[Node[M], None]:
    """Open a node for the length of an `async with` block.

    The block begins once the node has recovered its state and can be reached; a leader need not be known yet. At its
    end the node stops in two stages, as `Node.aclose` does; after an error or a cancellation it stops at once.

    If the node crashes, the block is cancelled and the node's error is raised. An error of the block comes out as
    itself.

    `state_machine` serves one node in its life, so a loop that opens the node again hands in a factory: a callable
    without arguments, such as the class.

    `join=True` is for a node that is none of the voters that the cluster began with (which `cluster` names all the
    same): it waits until `Node.change_members` at the leader adds it, and serves from then on. Pass it at every
    later start, too. With a `Join` it asks for that itself, and `cluster` need not name any voters: it finds them.

    Raises:
        ConfigurationError: an argument can't work, or the state machine has served a node before.
        UsageError: this is no Trio task.
        StorageError, TransportError, StateMachineError, InternalError: what kept the node from starting, or ended it.
    """
    current_task()
    node = Node(
        node_id,
        cluster=cluster,
        state_machine=state_machine,
        storage=storage,
        transport=transport,
        config=config,
        join=join,
    )
    body_error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            try:
                yield node
                await node.aclose()
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, when the node has ended
                body_error = error
                nursery.cancel_scope.cancel()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - what is not raised here the node noted, and is raised below
        if body_error is None and node.crash is None:
            raise one_error(error) from None  # noqa: ASYNC104 - the cancellation or KeyboardInterrupt itself
    # A block with a nursery of its own has as many consequences of the crash as it has tasks.
    consequences = (trio.Cancelled, NodeStopped)
    if node.crash is not None and (body_error is None or all(isinstance(e, consequences) for e in leaves(body_error))):
        raise node.crash
    if body_error is not None:
        raise body_error


@trio.lowlevel.enable_ki_protection
async def run_node(  # noqa: ASYNC128 - the node calls started()
    node_id: str,
    *,
    cluster: ClusterConfig,
    state_machine: M | Callable[[], M],
    storage: Storage,
    transport: Transport,
    config: NodeConfig | None = None,
    join: bool | Join = False,
    task_status: trio.TaskStatus[Node[M]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node in a nursery of your own: `node = await nursery.start(partial(run_node, "n1", cluster=…, …))`.

    `started()` gives the node once it has recovered and can be reached. Ends when `node.aclose()` is called, or when
    cancelled, which skips the first stage of stopping. What ends it is one error, as from `open_node`; a nursery that
    it runs in puts that into an ExceptionGroup, as Trio's do, with the `NodeStopped` of tasks that waited for the node.

    Raises:
        ConfigurationError: an argument can't work, or the state machine has served a node before.
        UsageError: this is no Trio task.
        StorageError, TransportError, StateMachineError, InternalError: what kept the node from starting, or ended it.
    """
    current_task()
    node = Node(
        node_id,
        cluster=cluster,
        state_machine=state_machine,
        storage=storage,
        transport=transport,
        config=config,
        join=join,
    )
    await node.run(task_status=task_status)
