"""`raft-actors serve`: one node of the replicated key-value service."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import trio

from raft_actors.actors.one_error import one_error
from raft_actors.cli import serve_joining, serve_security
from raft_actors.cli.descriptors import Clients, room_for_clients
from raft_actors.cli.foreign_text import PrintableFormatter
from raft_actors.cli.options import (
    Member,
    command_bytes,
    count,
    listen,
    member,
    members_by_id,
    milliseconds,
    milliseconds_range,
    name,
    positive,
)
from raft_actors.cli.streams import drop_broken_output
from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import ConfigurationError, RaftError
from raft_actors.node.joining import Join
from raft_actors.node.opening import open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.persistence.sqlite.errors import storage_error
from raft_actors.persistence.sqlite.files import SYSTEM
from raft_actors.records import frozen
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.resp import RequestLimits
from raft_actors.service.server import Service, open_listeners
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.sockets.addresses import Address

_logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from types import FrameType

    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_MEMBERS = 7  # that there may come to be, where not more are named: room is left for so many

_DESCRIPTION = """
Run one node of a replicated key-value service that Redis clients can use. Writes are acknowledged once they are on the
disks of a majority of the nodes; reads see every acknowledged write. Every node serves every command, also during
failovers. Without TLS it listens on this machine only, unless it is told --insecure.

After the first SIGINT or SIGTERM the node hands over and answers the requests under way, then it ends. The second one
ends the process at once.
If SIGINT is ignored when it starts (shells do that for background jobs), it stays ignored.
"""


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "serve", help="run one node of the key-value service", description=_DESCRIPTION
    )
    parser.add_argument("--id", required=True, type=name, metavar="ID", help="which of the nodes this one is")
    parser.add_argument(
        "--cluster", required=True, type=name, metavar="NAME", help="the cluster's name, the same on every node"
    )
    parser.add_argument(
        "--node",
        required=True,
        action="append",
        type=member,
        metavar="ID=HOST:RAFTPORT,HOST:REDISPORT",
        help="a node of the cluster, this one included: where others and where clients reach it; once for each node",
    )
    parser.add_argument(
        "--listen",
        type=listen,
        metavar="HOST[:RAFTPORT,HOST:REDISPORT]",
        help="where this node listens, if not at the addresses of its --node: 0.0.0.0, say, for all of the machine",
    )
    serve_joining.add_to(parser)
    parser.add_argument("--data", required=True, type=Path, metavar="FILE", help="this node's SQLite file")
    parser.add_argument(
        "--init",
        action=argparse.BooleanOptionalAction,
        help="if FILE is missing: create it, and the folders above it; with --no-init, for a node that has run before, "
        "refuse to start as an empty one (without either, create it only in an existing folder)",
    )
    _add_settings(parser)
    serve_security.add_to(parser)
    parser.set_defaults(run=run)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that have defaults."""
    defaults = NodeConfig()
    shortest, longest = (round(1000 * bound) for bound in defaults.election_timeout_s)
    parser.add_argument(
        "--election-timeout-ms",
        dest="election_timeout_s",
        type=milliseconds_range,
        default=defaults.election_timeout_s,
        metavar="A-B",
        help=f"start an election after so long without a message from a leader (default {shortest}-{longest})",
    )
    parser.add_argument(
        "--heartbeat-ms",
        dest="heartbeat_interval_s",
        type=milliseconds,
        default=defaults.heartbeat_interval_s,
        metavar="N",
        help=f"how often an idle leader sends heartbeats (default {round(1000 * defaults.heartbeat_interval_s)})",
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
        help=f"log entries before a snapshot that are kept (default {defaults.trailing_entries})",
    )
    parser.add_argument(
        "--max-connections", type=positive, default=1000, metavar="N", help="most clients at a time (default 1000)"
    )
    parser.add_argument(
        "--moved",
        action="store_true",
        help="redirect clients to the leader (MOVED) instead of serving them at each node; for clients in cluster mode",
    )
    parser.add_argument(
        "--max-command-bytes",
        type=command_bytes,
        default=defaults.max_command_bytes,
        metavar="N",
        help="the largest write, with its key and 1 KiB to spare; the same on every node "
        f"(default {defaults.max_command_bytes})",
    )


@frozen
class Settings:
    """The options, checked together."""

    me: Member
    listen_raft: Address
    listen_redis: Address
    data: Path
    cluster: ClusterConfig
    node: NodeConfig
    service: ServiceConfig
    tls: TlsConfig | None = None
    join: Join | None = None
    max_raft_clients: int = 1_024


def settings_of(options: argparse.Namespace) -> Settings:
    """Check the options together. What a class checks too is checked here first, for the sake of the flags' names."""
    members: Mapping[str, Member] = members_by_id(options.node)
    if options.id not in members:
        raise ConfigurationError(f"--id {options.id} is none of the nodes ({', '.join(members)}): add its --node")
    me = members[options.id]
    raft, redis = (me.raft, me.redis) if options.listen is None else options.listen.of(me)
    if raft == redis:
        raise ConfigurationError(f"--listen: nodes and clients can't both be served at {raft}")
    voters = {} if options.join else {node_id: str(one.raft) for node_id, one in members.items()}
    node = _node_config(options)
    security = serve_security.security_of(options, raft, redis)
    return Settings(
        me=me,
        listen_raft=raft,
        listen_redis=redis,
        data=options.data,
        cluster=ClusterConfig(cluster_id=options.cluster, voters=voters),
        node=node,
        tls=security.nodes,
        service=ServiceConfig(
            tls=security.clients,
            users=security.users,
            max_connections_per_address=security.max_connections_per_address,
            max_handshakes_per_address=security.max_handshakes_per_address,
            max_connects_per_address_s=security.max_connects_per_address_s,
            max_connects_s=security.max_connects_s,
            addresses={node_id: str(one.redis) for node_id, one in members.items()},
            moved=options.moved,
            max_connections=options.max_connections,
            max_command_bytes=node.max_command_bytes,
            # What is somewhat too large gets an answer that says so; what is far too large ends the connection.
            limits=RequestLimits(
                max_bulk_bytes=2 * node.max_command_bytes, max_request_bytes=4 * node.max_command_bytes
            ),
        ),
        join=serve_joining.join_of(options, me),
    )


def _node_config(options: argparse.Namespace) -> NodeConfig:
    shortest = options.election_timeout_s[0]
    if options.heartbeat_interval_s > shortest / 2:
        raise ConfigurationError(
            f"--heartbeat-ms {1000 * options.heartbeat_interval_s:.0f} must be at most half of the shortest "
            f"--election-timeout-ms ({1000 * shortest:.0f}): raise that, or beat more often"
        )
    return NodeConfig(
        election_timeout_s=options.election_timeout_s,
        heartbeat_interval_s=options.heartbeat_interval_s,
        snapshot_entries=options.snapshot_entries,
        trailing_entries=options.trailing_entries,
        max_command_bytes=options.max_command_bytes,
        rejoin_if_wiped=options.rejoin_if_wiped,
        join_requests=not options.no_join_requests,
    )


def check_data(file: Path, init: bool | None) -> None:
    """Refuse a store that nobody can have meant. A typo, or a disk that is not mounted, must not become an empty node.

    Such a node would vote under the id of the one that forgot nothing: what the two acknowledge may contradict.

    Raises:
        ConfigurationError: `file` names a folder, or something else that holds no store.
        RaftError: it is missing where it should not be.
    """
    if file.is_dir():
        raise ConfigurationError(f"--data {file} is a folder: name a file in it, such as {file / 'node.db'}")
    if file.exists() and not file.is_file():
        raise ConfigurationError(f"--data {file} is no regular file")
    if init is False and not (file.exists() and file.stat().st_size):
        raise RaftError(
            f"--data {file}: there is no store, and --no-init says that there must be one: is the disk mounted, "
            "the name right?"
        )
    if init is None and not file.parent.is_dir():
        raise RaftError(
            f"--data {file}: there is no folder {file.parent}: is the disk mounted, the name right? For a new node, "
            "make the folder, or add --init"
        )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes, and return 0. A second one ends the process with exit code 1."""
    settings = settings_of(options)
    check_data(settings.data, options.init)
    if options.init:
        _make_folders(settings.data)
    _log_to_stderr()
    trio.run(_serve_until_signalled, _within_descriptors(settings))
    return 0


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(_is_news)
    handler.setFormatter(PrintableFormatter("raft-actors: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _is_news(record: logging.LogRecord) -> bool:
    """What ends the node ends the command, which says so in its last line."""
    return record.name != "raft_actors.node.supervisor" or record.levelno < logging.ERROR


def _within_descriptors(settings: Settings) -> Settings:
    """As many clients as there are file descriptors for."""
    wanted = Clients(settings.service.max_connections, settings.max_raft_clients)
    granted = room_for_clients(wanted, peers=max(len(settings.cluster.voters), _MEMBERS) - 1)
    if granted != wanted:
        _logger.warning(
            "the limit of open files leaves room for %d Redis clients, not %d (--max-connections), and for %d clients "
            "at the nodes' port (RaftClient), not %d: raise it (ulimit -n)",
            *(granted.redis, wanted.redis, granted.raft, wanted.raft),
        )
    service = attrs.evolve(settings.service, max_connections=granted.redis)
    return attrs.evolve(settings, service=service, max_raft_clients=granted.raft)


def _make_folders(file: Path) -> None:
    try:
        SYSTEM.make_folder(file.parent)
    except OSError as error:
        raise storage_error(file, "making its folder", error) from error


def _signals() -> list[signal.Signals]:
    """The signals that end the node.

    Who had SIGINT ignored meant it: a shell does so for what it starts in the background, which shares the terminal's
    process group, so that Ctrl-C for the program in front does not end a node. SIGTERM goes to one process, by somebody
    who means that one.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGINT]


async def _serve_until_signalled(settings: Settings) -> None:
    """Run the node until a signal comes.

    Raises:
        RaftError: what kept the node from starting, or ended it.
    """
    stopping = trio.Event()
    try:
        with trio.open_signal_receiver(*_signals()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_heed, signals, stopping)
                await serve_node(settings, stopping)
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise one_error(group) from None


async def _heed(signals: AsyncIterator[int], stopping: trio.Event) -> None:
    """The first one sets `stopping`; from then on, one more ends the process."""
    async for number in signals:
        if stopping.is_set():
            end_now(number)
        for one in _signals():
            signal.signal(one, end_now)
        stopping.set()


def end_now(_number: int, _frame: FrameType | None = None) -> NoReturn:
    """End the process without waiting for anything: a disk that hangs would hold up any other end.

    Nothing that was acknowledged is lost: the store is made for the end of the process at any moment.
    """
    with contextlib.suppress(OSError):
        os.write(2, b"raft-actors: a second signal: ended at once\n")
    os._exit(1)


async def serve_node(settings: Settings, stopping: trio.Event) -> None:
    """Serve clients until `stopping` is set, then end in good order.

    Raises:
        RaftError: what kept the node from starting, or ended it.
    """
    machine = KeyValue(clock=trio.current_time)
    me = settings.me
    async with contextlib.AsyncExitStack() as stack:
        # First of all: a node that no client can reach should not become its cluster's leader. Clients that connect
        # before the node has recovered wait until it has.
        listeners = await open_listeners(settings.listen_redis.host, settings.listen_redis.port)
        for listener in listeners:
            await stack.enter_async_context(listener)
        node = await stack.enter_async_context(
            open_node(
                me.node_id,
                cluster=settings.cluster,
                state_machine=machine,
                storage=SqliteStorage(settings.data),
                transport=TcpTransport(
                    str(settings.listen_raft), tls=settings.tls, max_clients=settings.max_raft_clients
                ),
                config=settings.node,
                join=settings.join or False,
            )
        )
        service = Service(node, machine, settings.service)
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run, listeners)
            _announce(
                f"raft-actors: node {me.node_id} of cluster {settings.cluster.cluster_id} serves Redis clients "
                f"at {me.redis} (other nodes at {me.raft}, data in {settings.data})"
            )
            await stopping.wait()
            service.drain()
            # Leadership goes first, once what the node has accepted is done. A client that is slow to take its replies
            # holds up nobody then: they are sent while the other nodes lead on.
            await node.aclose()


def _announce(text: str) -> None:
    """Say it on standard output; a node is no worse where that is closed, full, or read by nobody."""
    try:
        print(text, flush=True)
    except OSError as error:
        drop_broken_output()
        _logger.warning("can't write to standard output, and go on without: %s", error.strerror)
