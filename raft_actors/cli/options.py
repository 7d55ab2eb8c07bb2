"""What command line options mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.transports.sockets.addresses import Address


@attrs.frozen
class Member:
    """One `--node`: a node's id, where other nodes reach it, and where its Redis clients do."""

    node_id: str
    raft: Address
    redis: Address


def member(text: str) -> Member:
    """Take `n1=10.0.0.1:7000,10.0.0.1:6379` apart."""
    node_id, equals, addresses = text.partition("=")
    raft, comma, redis = addresses.partition(",")
    if not (node_id and equals and comma):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no node: write ID=HOST:RAFTPORT,HOST:REDISPORT, such as n1=10.0.0.1:7000,10.0.0.1:6379"
        )
    try:
        return Member(node_id, Address.parse(raft), Address.parse(redis))
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def members_by_id(members: list[Member]) -> Mapping[str, Member]:
    """The nodes by id.

    Raises:
        ConfigurationError: an id or an address is used twice.
    """
    found: dict[str, Member] = {}
    owners: dict[Address, str] = {}
    for one in members:
        if one.node_id in found:
            raise ConfigurationError(f"--node {one.node_id}=… is given twice")
        found[one.node_id] = one
        for address in (one.raft, one.redis):
            if address in owners:
                raise ConfigurationError(f"{address} is used by node {owners[address]} and by node {one.node_id}")
            owners[address] = one.node_id
    return found


def positive(text: str) -> int:
    """A whole number above 0."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def milliseconds(text: str) -> float:
    """A time in milliseconds, as seconds."""
    return positive(text) / 1000


def milliseconds_range(text: str) -> tuple[float, float]:
    """`400-800` in milliseconds, as seconds."""
    shortest, dash, longest = text.partition("-")
    if not dash:
        raise argparse.ArgumentTypeError(f"{text!r} is no range: write SHORTEST-LONGEST, such as 400-800")
    return milliseconds(shortest), milliseconds(longest)


def nodes_of_demo(text: str) -> int:
    """The size of a cluster that survives the loss of one node."""
    number = positive(text)
    if not 3 <= number <= 9:
        raise argparse.ArgumentTypeError(f"{number} nodes: take 3 to 9, so that a majority is left when one is killed")
    return number
