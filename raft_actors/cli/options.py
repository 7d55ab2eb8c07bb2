"""What command line options mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from raft_actors.config import KIB
from raft_actors.errors import ConfigurationError
from raft_actors.persistence.sqlite.files import why_inaccessible
from raft_actors.records import frozen
from raft_actors.service.operations import MAX_VALUE_BYTES
from raft_actors.transports.sockets.addresses import Address

_LONGEST_NAME = 255

_SMALLEST_LIMIT = 64 * KIB


@frozen
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
    return Member(name(node_id), _address(raft), _address(redis))


@frozen
class Listen:
    """Where a node listens. Port 0 stands for the one at which its `--node` says it is reached."""

    raft: Address
    redis: Address

    def of(self, member: Member) -> tuple[Address, Address]:
        """Where this member listens for nodes and for clients."""
        return (
            attrs.evolve(self.raft, port=self.raft.port or member.raft.port),
            attrs.evolve(self.redis, port=self.redis.port or member.redis.port),
        )


def listen(text: str) -> Listen:
    """Take `0.0.0.0` or `0.0.0.0:7000,10.0.0.1:6379` apart."""
    raft, comma, redis = text.partition(",")
    if comma:
        return Listen(_address(raft), _address(redis))
    if ":" in text.rpartition("]")[2]:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither HOST nor HOST:RAFTPORT,HOST:REDISPORT, such as 0.0.0.0 or [::]:7000,[::]:6379"
        )
    everywhere = attrs.evolve(_address(f"{text}:1"), port=0)
    return Listen(everywhere, everywhere)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def node_address(text: str) -> str:
    """Where nodes reach a node."""
    return str(_address(text))


def pair(text: str) -> tuple[str, str]:
    """A name and a text, `zone=a`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=TEXT, such as zone=a")
    return key, value


def name(text: str) -> str:
    """A name that everybody can write down: of a node, of a cluster."""
    if not 1 <= len(text) <= _LONGEST_NAME or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name: take 1 to {_LONGEST_NAME} printable characters")
    return text


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


def days(text: str) -> int:
    """A number of days, up to a hundred years."""
    number = positive(text)
    if number > 36_500:
        raise argparse.ArgumentTypeError(f"{number} days: take 1 to 36500")
    return number


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def command_bytes(text: str) -> int:
    """The size of the largest command of the key-value service."""
    number = positive(text)
    if not _SMALLEST_LIMIT <= number <= MAX_VALUE_BYTES:
        raise argparse.ArgumentTypeError(f"{number} bytes: take {_SMALLEST_LIMIT} to {MAX_VALUE_BYTES}")
    return number


def seconds(text: str) -> float:
    """A time in seconds, from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def milliseconds(text: str) -> float:
    """A time in milliseconds, as seconds."""
    return positive(text) / 1000


def milliseconds_range(text: str) -> tuple[float, float]:
    """`400-800` in milliseconds, as seconds."""
    first, dash, last = text.partition("-")
    if not dash:
        raise argparse.ArgumentTypeError(f"{text!r} is no range: write SHORTEST-LONGEST, such as 400-800")
    shortest, longest = milliseconds(first), milliseconds(last)
    if not shortest < longest:
        raise argparse.ArgumentTypeError(f"{text!r} is no range: {last} must be more than {first}")
    return shortest, longest


def nodes_of_demo(text: str) -> int:
    """The size of a cluster that survives the loss of one node."""
    number = positive(text)
    if not 3 <= number <= 9:
        raise argparse.ArgumentTypeError(f"{number} nodes: take 3 to 9, so that a majority is left when one is killed")
    return number


def output_file(text: str) -> Path:
    """A file that can be written once its time has come: said now, not after hours of work."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} can't be written: {why_inaccessible(path.parent, path)}")
    return path
