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
        help="join a running cluster that has a member at this address, instead of forming a new one (given more than "
        "once: any that answers will do). Only this node's own --node is needed; those of others say where to send "
        "clients of theirs",
    )
    parser.add_argument(
        "--rejoin-if-wiped",
        action="store_true",
        help="if this node starts on an empty store and the others know it by another one, or on an older copy of its "
        "store, join again instead of ending; mind that a disk that is not mounted looks just like a lost one",
    )
    parser.add_argument(
        "--no-join-requests",
        action="store_true",
        help="let only nodes join that an operator has added ('raft-actors add'), and so none that was removed and "
        "still has its key; needs TLS between nodes, and has to be set on all of them",
    )


def join_of(options: argparse.Namespace, me: Member) -> Join | None:
    """How the node joins; None where it forms a cluster with the others."""
    if not options.join:
        return None
    return Join(addresses=options.join, address=str(me.raft), metadata={REDIS_ADDRESS: str(me.redis)})
