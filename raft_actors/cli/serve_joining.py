"""The options of `serve` by which a node becomes a member of a cluster that runs already."""

from __future__ import annotations

import argparse

from raft_actors.cli.options import Member, node_address
from raft_actors.node.joining import Join
from raft_actors.service.refusals import REDIS_ADDRESS


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--join",
        action="append",
        type=node_address,
        metavar="HOST:RAFTPORT",
        help="join a running cluster that has a member there, instead of forming one with others (given more than "
        "once: whoever answers will do). A --node is needed for this node alone; others only tell where their clients "
        "are to go",
    )
    parser.add_argument(
        "--rejoin-if-wiped",
        action="store_true",
        help="where the others know this node by another store than the empty one that it starts on, join anew instead "
        "of ending; a disk that is not mounted looks just like a lost one",
    )
    parser.add_argument(
        "--no-join-requests",
        action="store_true",
        help="let no node join that an operator has not added ('raft-actors add'), such as one that was removed and "
        "still has its key; takes TLS between nodes, and is to be said to all of them",
    )


def join_of(options: argparse.Namespace, me: Member) -> Join | None:
    """How the node joins; None where it forms a cluster with the others."""
    if not options.join:
        return None
    return Join(addresses=options.join, address=str(me.raft), metadata={REDIS_ADDRESS: str(me.redis)})
