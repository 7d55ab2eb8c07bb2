"""`raft-actors serve`: one node of the replicated key-value service."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from raft_actors.actors.one_error import one_error
from raft_actors.cli.options import Member, count, member, members_by_id, milliseconds, milliseconds_range, positive
from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import ConfigurationError
from raft_actors.node.opening import open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.server import Service, open_listeners
from raft_actors.transports import TcpTransport

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Run one node of a replicated key-value service that Redis clients can use. Writes are acknowledged once they are on the
disks of a majority of the nodes; reads see every acknowledged write. Nodes other than the leader answer data commands
with -NOTLEADER and the leader's address. There is no encryption and there are no passwords: serve in a network that
only nodes and clients can reach.

The first SIGINT or SIGTERM ends the node in good order: requests under way are answered. The second ends it at once.
"""


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "serve", help="run one node of the key-value service", description=_DESCRIPTION
    )
    parser.add_argument("--id", required=True, metavar="ID", help="which of the nodes this one is")
    parser.add_argument("--cluster", required=True, metavar="NAME", help="the cluster's name, the same on every node")
    parser.add_argument(
        "--node",
        required=True,
        action="append",
        type=member,
        metavar="ID=HOST:RAFTPORT,HOST:REDISPORT",
        help="a node of the cluster, this one included: where others and where clients reach it; once for each node",
    )
    parser.add_argument("--data", required=True, type=Path, metavar="FILE", help="this node's SQLite file")
    defaults = NodeConfig()
    shortest, longest = (round(1000 * bound) for bound in defaults.election_timeout_s)
    parser.add_argument(
        "--election-timeout-ms",
        dest="election_timeout_s",
        type=milliseconds_range,
        default=defaults.election_timeout_s,
        metavar="A-B",
        help=f"start an election after so long without word from a leader (default {shortest}-{longest})",
    )
    parser.add_argument(
        "--heartbeat-ms",
        dest="heartbeat_interval_s",
        type=milliseconds,
        default=defaults.heartbeat_interval_s,
        metavar="N",
        help=f"an idle leader speaks so often (default {round(1000 * defaults.heartbeat_interval_s)})",
    )
    parser.add_argument(
        "--snapshot-entries",
        type=positive,
        default=defaults.snapshot_entries,
        metavar="N",
        help=f"take a snapshot after so many log entries (default {defaults.snapshot_entries})",
    )
    parser.add_argument(
        "--trailing-entries",
        type=count,
        default=defaults.trailing_entries,
        metavar="N",
        help=f"log entries kept behind a snapshot (default {defaults.trailing_entries})",
    )
    parser.add_argument(
        "--max-connections", type=positive, default=1000, metavar="N", help="clients at a time (default 1000)"
    )
    parser.set_defaults(run=run)


@attrs.frozen
class _Settings:
    """The options, checked together."""

    me: Member
    data: Path
    cluster: ClusterConfig
    node: NodeConfig
    service: ServiceConfig


def _settings(options: argparse.Namespace) -> _Settings:
    members: Mapping[str, Member] = members_by_id(options.node)
    if options.id not in members:
        raise ConfigurationError(f"--id {options.id} is none of the nodes ({', '.join(members)}): add its --node")
    node = NodeConfig(
        election_timeout_s=options.election_timeout_s,
        heartbeat_interval_s=options.heartbeat_interval_s,
        snapshot_entries=options.snapshot_entries,
        trailing_entries=options.trailing_entries,
    )
    voters = {node_id: str(one.raft) for node_id, one in members.items()}
    return _Settings(
        me=members[options.id],
        data=options.data,
        cluster=ClusterConfig(cluster_id=options.cluster, voters=voters),
        node=node,
        service=ServiceConfig(
            addresses={node_id: str(one.redis) for node_id, one in members.items()},
            max_connections=options.max_connections,
            max_command_bytes=node.max_command_bytes,
        ),
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes. 0: ended in good order. 1: a second signal cut that short."""
    settings = _settings(options)
    logging.basicConfig(level=logging.WARNING, format="raft-actors: %(message)s")
    return trio.run(_serve_until_signalled, settings)


async def _serve_until_signalled(settings: _Settings) -> int:
    """Run the node; a signal sets `stopping`, a second one cancels everything.

    Raises:
        RaftError: what kept the node from starting, or ended it.
    """
    stopping = trio.Event()
    in_good_order = False
    try:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_heed, signals, stopping, nursery.cancel_scope)
                await _serve(settings, stopping)
                in_good_order = True
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise one_error(group) from None
    return 0 if in_good_order else 1


async def _heed(signals: AsyncIterator[int], stopping: trio.Event, everything: trio.CancelScope) -> None:
    async for _ in signals:
        if stopping.is_set():
            everything.cancel()
        stopping.set()


async def _serve(settings: _Settings, stopping: trio.Event) -> None:
    machine = KeyValue()
    me = settings.me
    async with contextlib.AsyncExitStack() as stack:
        # First of all: a node that no client can reach should not become its cluster's leader. Clients that connect
        # before the node has recovered wait until it has.
        listeners = await open_listeners(me.redis.host, me.redis.port)
        for listener in listeners:
            await stack.enter_async_context(listener)
        node = await stack.enter_async_context(
            open_node(
                me.node_id,
                cluster=settings.cluster,
                state_machine=machine,
                storage=SqliteStorage(settings.data),
                transport=TcpTransport(str(me.raft)),
                config=settings.node,
            )
        )
        service = Service(node, machine, settings.service)
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run, listeners)
            print(
                f"raft-actors: node {me.node_id} of cluster {settings.cluster.cluster_id} serves Redis clients "
                f"at {me.redis} (other nodes at {me.raft}, data in {settings.data})",
                flush=True,
            )
            await stopping.wait()
            service.drain()
