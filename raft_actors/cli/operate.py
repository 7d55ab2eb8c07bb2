"""`raft-actors status`, `members`, `add`, `transfer` and so on: looking at a running cluster, and working on it."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from raft_actors.actors.one_error import one_error
from raft_actors.cli.foreign_text import printable_json
from raft_actors.cli.options import count, name, node_address, pair, seconds
from raft_actors.cli.tables import table
from raft_actors.errors import ConfigurationError, RaftError, TransportError
from raft_actors.node.asking import Ask, OperationRefused, ask_cluster
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.tls.naming import DEFAULT_RULE
from raft_actors.wording import printable

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

Perform = Callable[[Ask, argparse.Namespace], Awaitable[int]]

_PATIENCE_S = 10.0

_STATUS = """
Show the state of a running cluster: each node's role, term and progress. The first node that answers names the others,
which are asked as well. The exit code is 1 if one of them does not answer, or if there is no leader.
"""
_TRANSFER = """
Transfer leadership to another voter, without an election timeout; before maintenance of the leader's machine, say.
"""
_SNAPSHOT = """
Let each node at these addresses take a snapshot of its state now, and show what it covers.
"""
_MEMBERS = """
List the members of a running cluster: voters and learners, their addresses, how much of the log each lacks, and the
store that it is known by.
"""
_ADD = """
Add a running node to the cluster (one that was started with --join asks for this itself). It is a learner first, and
votes once it has caught up.
"""
_PROMOTE = """
Make a learner a voter, once it has caught up.
"""
_DEMOTE = """
Make a voter a learner, which still gets the log.
"""
_PRIORITY = """
Prefer a voter as the leader: a leader with a lower priority transfers leadership to it as soon as it has caught up.
"""
_MOVE = """
Record a member's new address. A node that already runs at its new address and connects to the others needs no such
command: they record the address by themselves.
"""
_REMOVE = """
Remove a member from the cluster. It is told, and refuses requests from then on; then its process can be stopped and
its store deleted.
"""


def add_to(subcommands: Subcommands) -> None:
    """Add these subcommands."""
    _command(subcommands, "status", "show the state of a running cluster", _STATUS, _status)
    _command(subcommands, "members", "list the members of a running cluster", _MEMBERS, _members)
    add = _command(subcommands, "add", "add a member to a running cluster", _ADD, _add)
    add.add_argument("--address", required=True, type=node_address, metavar="HOST:RAFTPORT", help="where it is reached")
    add.add_argument("--learner", action="store_true", help="add it as a learner, without a vote")
    add.add_argument(
        "--metadata", action="append", type=pair, metavar="NAME=TEXT", help="metadata that all members will know of it"
    )
    promote = _command(subcommands, "promote", "make a learner a voter", _PROMOTE, _change("promote"))
    demote = _command(subcommands, "demote", "make a voter a learner", _DEMOTE, _change("demote"))
    priority = _command(subcommands, "priority", "set which voter should lead", _PRIORITY, _priority)
    priority.add_argument("--priority", required=True, type=count, metavar="N", help="0 (the default) to 1000")
    move = _command(subcommands, "move", "record a member's new address", _MOVE, _move)
    move.add_argument("--address", required=True, type=node_address, metavar="HOST:RAFTPORT", help="where it is now")
    remove = _command(subcommands, "remove", "remove a member from a running cluster", _REMOVE, _change("remove"))
    for parser in (add, promote, demote, priority, move, remove):
        parser.add_argument("--id", required=True, type=name, metavar="ID", help="which node")
    transfer = _command(subcommands, "transfer", "transfer leadership to another node", _TRANSFER, _transfer)
    transfer.add_argument(
        "--to", type=name, metavar="ID", help="the new leader (default: the voter with most of the log)"
    )
    _command(subcommands, "snapshot", "have nodes take a snapshot now", _SNAPSHOT, _snapshot)


def _command(
    subcommands: Subcommands, called: str, summary: str, description: str, perform: Perform
) -> argparse.ArgumentParser:
    """Add one of them, with what all have."""
    parser: argparse.ArgumentParser = subcommands.add_parser(called, help=summary, description=description)
    parser.add_argument(
        "addresses",
        nargs="+",
        type=node_address,
        metavar="HOST:RAFTPORT",
        help="where other nodes reach a member; one that answers is enough",
    )
    parser.add_argument("--cluster", type=name, metavar="NAME", help="refuse to speak to another cluster than this one")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--timeout-s",
        type=seconds,
        default=_PATIENCE_S,
        metavar="N",
        help=f"how many seconds to look for a member that can do it (default {_PATIENCE_S:.0f})",
    )
    for flag, what in (("cert", "the operator's certificate"), ("key", "its key"), ("ca", "the CAs of the nodes")):
        parser.add_argument(f"--tls-{flag}", type=Path, metavar="FILE", help=f"{what}, if nodes use TLS")
    parser.add_argument(
        "--tls-names", default=DEFAULT_RULE, metavar="RULE", help=f"how certificates name nodes ({DEFAULT_RULE})"
    )
    parser.set_defaults(run=partial(_run, perform))
    return parser


def _run(perform: Perform, options: argparse.Namespace) -> int:
    async def main() -> int:
        try:
            return await perform(TcpTransport("127.0.0.1:0", tls=_tls(options)).ask, options)
        except BaseExceptionGroup as group:
            raise one_error(group) from None

    try:
        return trio.run(main)
    except (OperationRefused, TransportError) as error:  # a node's own words, perhaps
        raise RaftError(printable(error)) from error


def _tls(options: argparse.Namespace) -> TlsConfig | None:
    files = (options.tls_cert, options.tls_key, options.tls_ca)
    if not any(files):
        return None
    if not all(files):
        raise ConfigurationError("--tls-cert, --tls-key and --tls-ca go together")
    return TlsConfig(certificate=options.tls_cert, key=options.tls_key, ca=options.tls_ca, names=options.tls_names)


async def _ask(
    ask: Ask, options: argparse.Namespace, operation: str, addresses: list[str] | None = None, **arguments: Any
) -> dict[str, Any]:
    asked = await ask_cluster(
        ask,
        options.addresses if addresses is None else addresses,
        operation,
        cluster_id=options.cluster,
        patience_s=options.timeout_s,
        **arguments,
    )
    return asked.reply


def _show(options: argparse.Namespace, found: object, text: str) -> None:
    print(printable_json(found) if options.json else text)


# --- status --------------------------------------------------------------------------------------------------


_COLUMNS = {
    "node_id": "NODE",
    "role": "ROLE",
    "term": "TERM",
    "leader": "LEADER",
    "commit_index": "COMMITTED",
    "applied_index": "APPLIED",
    "last_index": "LAST",
    "snapshot_index": "SNAPSHOT",
    "error": "TROUBLE",
}


async def _status(ask: Ask, options: argparse.Namespace) -> int:
    """Ask one, and all that it knows at once."""
    first = await _ask(ask, options, "status")
    found: dict[str, dict[str, Any]] = {first["node_id"]: first}

    async def look(node_id: str, address: str) -> None:
        try:
            asked = await ask_cluster(ask, [address], "status", cluster_id=first["cluster_id"], patience_s=0.0)
        except (OperationRefused, TransportError) as error:
            found[node_id] = {"node_id": node_id, "address": address, "error": str(error)}
        else:
            found[node_id] = asked.reply

    async with trio.open_nursery() as nursery:
        for peer, seen in first["peers"].items():
            nursery.start_soon(look, peer, seen["address"])
    nodes = [found[node_id] for node_id in sorted(found)]
    text = table(tuple(_COLUMNS.values()), [[node.get(key) for key in _COLUMNS] for node in nodes])
    _show(options, nodes, f"cluster {printable(first['cluster_id'])}\n{text}")
    silent = any("error" in node for node in nodes)
    return int(silent or not any(node.get("role") == "leader" for node in nodes))


# --- members -------------------------------------------------------------------------------------------------


async def _members(ask: Ask, options: argparse.Namespace) -> int:
    """Ask the leader, which knows how far the others are; where nobody leads, whoever answers."""
    found = await _ask(ask, options, "members")
    if found.get("withheld"):
        raise RaftError(
            f"this certificate is of a node that is no member, as far as node {found['node_id']!r} knows, which tells "
            "such a one no more than how to join"
        )
    leader = found["members"].get(found["leader"], {}).get("address")
    if leader and found["leader"] != found["node_id"]:
        with contextlib.suppress(OperationRefused, TransportError):
            found = await _ask(ask, options, "members", [leader])
    _show_members(options, found)
    return 0


def _show_members(options: argparse.Namespace, found: dict[str, Any]) -> None:
    rows = [
        (
            member_id,
            member["role"] + (", leads" if member_id == found["leader"] else ""),
            member["address"],
            member.get("priority") or None,  # an older node does not say
            member["behind"],
            None if member["silent_s"] is None else f"{member['silent_s']:.1f}",
            member["incarnation"],
            " ".join(f"{key}={value}" for key, value in member["metadata"].items()),
        )
        for member_id, member in sorted(found["members"].items())
    ]
    heading = ("MEMBER", "ROLE", "ADDRESS", "PRIORITY", "BEHIND", "SILENT-S", "STORE", "METADATA")
    phase = "" if found["phase"] == "stable" else f", a change is under way ({found['phase']})"
    summary = printable(f"cluster {found['cluster_id']}, configuration {found['config']}{phase}")
    text = f"{summary}\n{table(heading, rows)}"
    _show(options, found, text)


async def _add(ask: Ask, options: argparse.Namespace) -> int:
    metadata = dict(options.metadata or [])
    found = await _ask(
        ask, options, "add", id=options.id, address=options.address, voter=not options.learner, metadata=metadata
    )
    _show_members(options, found)
    return 0


async def _priority(ask: Ask, options: argparse.Namespace) -> int:
    _show_members(options, await _ask(ask, options, "priority", id=options.id, priority=options.priority))
    return 0


async def _move(ask: Ask, options: argparse.Namespace) -> int:
    _show_members(options, await _ask(ask, options, "move", id=options.id, address=options.address))
    return 0


def _change(operation: str) -> Perform:
    """What promotes, demotes or removes a member."""

    async def perform(ask: Ask, options: argparse.Namespace) -> int:
        _show_members(options, await _ask(ask, options, operation, id=options.id))
        return 0

    return perform


# --- what is done --------------------------------------------------------------------------------------------


async def _transfer(ask: Ask, options: argparse.Namespace) -> int:
    done = await _ask(ask, options, "transfer", to=options.to)
    _show(options, done, printable(f"node {done['leader']} leads"))
    return 0


async def _snapshot(ask: Ask, options: argparse.Namespace) -> int:
    """Ask each node for itself: there is nothing that another one could do instead."""
    taken: list[dict[str, Any]] = []
    troubles: list[str] = []
    for address in options.addresses:
        try:
            taken.append(await _ask(ask, options, "snapshot", [address]))
        except (OperationRefused, TransportError) as error:
            troubles.append(f"{address}: {error}")
    lines = [f"node {one['node']} has a snapshot up to index {one['index']} of term {one['term']}" for one in taken]
    _show(options, taken, "\n".join(map(printable, lines)))
    if troubles:
        raise RaftError(printable("; ".join(troubles)))
    return 0
