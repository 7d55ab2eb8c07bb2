"""The answer to INFO: sections of `name:value` lines, in the form that Redis clients take apart."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator

import trio

from raft_actors.service.connection import Context
from raft_actors.service.refusals import client_address
from raft_actors.service.topology import master_of, places

REDIS_VERSION = "7.0.0"
"""The version of Redis whose commands and errors this service follows."""

_Lines = Iterator[tuple[str, object]]
_ANY_SECTION = frozenset({"all", "everything", "default"})


def info_text(context: Context, wanted: set[str]) -> str:
    """The sections called `wanted` (in lower case); all where none is named."""
    chosen = [
        f"# {title}\r\n" + "".join(f"{name}:{value}\r\n" for name, value in lines(context))
        for title, lines in _SECTIONS.items()
        if not wanted or title.lower() in wanted or wanted & _ANY_SECTION
    ]
    return "\r\n".join(chosen)


def _server(context: Context) -> _Lines:
    # Not at the top: every start of a node would wait for the modules that read metadata.
    from importlib import metadata  # noqa: PLC0415

    yield "redis_version", REDIS_VERSION
    yield "redis_mode", "cluster"
    yield "raft_actors_version", metadata.version("raft-actors")
    yield "python_version", platform.python_version()
    yield "os", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "arch_bits", sys.maxsize.bit_length() + 1
    yield "process_id", os.getpid()
    yield "uptime_in_seconds", int(trio.current_time() - context.started_at)


def _clients(context: Context) -> _Lines:
    yield "connected_clients", len(context.sessions)
    yield "maxclients", context.config.max_connections


def _stats(context: Context) -> _Lines:
    statistics = context.statistics
    yield "total_connections_received", statistics.accepted_connections
    yield "total_commands_processed", statistics.requests
    yield "rejected_connections", statistics.rejected_connections + context.unheard.total()
    for cause, number in sorted((statistics.rejected_by_cause + context.unheard).items()):
        yield f"rejected_connections_{cause.lower()}", number
    yield "protocol_errors", statistics.protocol_errors
    yield "acl_access_denied_auth", context.logins.failed + context.logins.turned_away
    yield "acl_access_denied_cmd", statistics.denied_commands


def _replication(context: Context) -> _Lines:
    found = places(context)
    replicas = [place for place in found if not place.is_master]
    if master_of(context) == context.node.status().node_id:
        yield "role", "master"
        yield "connected_slaves", len(replicas)
        for number, place in enumerate(replicas):
            state = "online" if place.lives else "offline"
            host = place.host.decode()
            yield f"slave{number}", f"ip={host},port={place.port},state={state},offset={place.applied},lag=0"
    else:
        yield "role", "slave"
        yield "master_host", found[0].host.decode()
        yield "master_port", found[0].port
        yield "master_link_status", "up"
        yield "connected_slaves", 0


def _cluster(_context: Context) -> _Lines:
    yield "cluster_enabled", 1


def _raft(context: Context) -> _Lines:
    status = context.node.status()
    yield "cluster_id", status.cluster_id
    yield "node_id", status.node_id
    yield "node_ids", " ".join(sorted(context.node.members().members))
    yield "raft_role", status.role  # clients read INFO as one table, and `role` is Replication's
    yield "term", status.term
    yield "leader", status.leader or ""
    yield "leader_redis", client_address(context, status.leader or "") or ""
    for name in (
        "commit_index",
        "applied_index",
        "first_index",
        "last_index",
        "snapshot_index",
        "snapshot_term",
    ):
        yield name, getattr(status, name)


def _keyspace(context: Context) -> _Lines:
    """This node's own copy, which may be stale."""
    if keys := len(context.machine):
        yield "db0", f"keys={keys},expires={len(context.machine.deadlines.at)},avg_ttl=0"


_SECTIONS: dict[str, Callable[[Context], _Lines]] = {
    "Server": _server,
    "Clients": _clients,
    "Stats": _stats,
    "Replication": _replication,
    "Cluster": _cluster,
    "Raft": _raft,
    "Keyspace": _keyspace,
}
