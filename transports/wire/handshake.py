"""The handshake: who is calling, whom, in which cluster, and in which versions of the protocol.

The dialer says `Hello`; the other side answers with a `Verdict` and, where it accepts, from then on only listens.
One frame each way, and much smaller ones than messages may be:

    hello    magic "RAFT"  newest version u16              then fields
    answer   magic "RAFT"  newest version u16  verdict u8  then fields
    field    tag u8  length u16  value

This shape stays from version 3 on, whatever else a version changes: a tag that a node does not know is skipped, and one
that it misses has a default. So any two versions can tell each other which ranges they speak, and either agree on the
highest that both know or refuse each other by name. Version 2 had no fields: a node of it that calls, or is called,
hears and says a refusal that it understands.

Naming the receiver catches addresses that were mixed up or handed on: Raft's safety rests on a node being who it is
taken for.
"""

from __future__ import annotations

import enum
import struct

import attrs

from raft_actors.errors import ConfigurationError, ProtocolError
from raft_actors.raft.features import FEATURES
from raft_actors.raft.starts import Met, Start
from raft_actors.records import frozen
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.greeting import Greeting
from raft_actors.transports.wire.fields import Tag, number, pack_fields, short_text, text, unpack_fields
from raft_actors.transports.wire.identity_fields import configuration_index, configuration_term, identity_fields
from raft_actors.transports.wire.settings import differ, skipped_trouble, timing_ms, timing_trouble, voters_digest
from raft_actors.transports.wire.start_fields import MAX_INCARNATION_BYTES, met_of, start_fields, start_of

OLDEST_VERSION = 3
NEWEST_VERSION = 3
"""What this version of the library speaks. docs/architecture.md, "The wire", says when either changes."""

MAGIC = b"RAFT"

MAX_ID_BYTES = 4 * 255  # ids have up to 255 characters
MAX_HELLO_BYTES = 8 * 1024
MAX_ANSWER_BYTES = 8 * 1024
MAX_DETAIL_BYTES = 500
MAX_ADDRESS_BYTES = 512
MAX_SKIPPED_BYTES = 4096

_FIRST_WITH_FIELDS = 3
_PREFIX = struct.Struct(">4sH")
_VERDICT = struct.Struct(">B")
_VERSION = struct.Struct(">H")
_TIMING = struct.Struct(">II")

BARE_ANSWER_BYTES = _PREFIX.size + _VERDICT.size
"""An answer without fields: all that version 2 can read."""


class Verdict(enum.IntEnum):
    """The answer to a hello. The numbers are the wire's, and keep their meaning for ever."""

    ACCEPTED = 0
    OTHER_VERSION = 1
    """The two sides have no version of the protocol in common."""
    OTHER_CLUSTER = 2
    """The receiver belongs to a cluster with another id."""
    ITSELF = 3
    """The sender has reached itself: a peer's address is its own."""
    WRONG_RECEIVER = 4
    """Another node than the one called answers at this address."""
    UNKNOWN_NODE = 5
    """The receiver has no peer with the sender's id."""
    OTHER_VOTERS = 6
    """The two sides' clusters began with different voters: one of them was started with the wrong ones."""
    OTHER_TIMING = 7
    """A leader of one side would speak too rarely for the other side to follow it."""
    REFUSED_MESSAGE = 8
    """Said later than the others, by a node that had accepted, before it closes the connection: what came over it is
    no message that it may take."""
    NOT_PROVEN = 9
    """The sender has not shown a certificate of the node that it says to be: none, another node's, or no TLS at all."""
    OTHER_INCARNATION = 10
    """The sender's store is not the one that the receiver knows it by: its files were lost, or its id is used twice."""
    OTHER_LEASES = 12
    """Leaders of the two sides hold other leases, or only those of one do: one would not wait for the other's end."""
    LACKS_FEATURE = 13
    """The sender can't do what the receiver's cluster has come to use: it is of an older version."""
    OTHER_SKIPPED_COMMANDS = 14
    """The two sides leave out other commands of the log: their states would differ from there on."""
    OLDER_STORE = 15
    """The receiver has learned from the hello that its own store is an older copy of what it was. It ends."""
    OTHER_REASON = 255
    """A newer node's reason, which this version has no name for; the answer's detail tells it."""


@frozen
class Agreement:
    """What two nodes speak with each other.

    Attributes:
        version: the highest version that both know.
        features: those that both have.
    """

    version: int
    features: frozenset[str] = frozenset()


@frozen
class ProtocolRange:
    """The versions of the protocol that a node speaks, `oldest` to `newest`, and its features."""

    oldest: int = OLDEST_VERSION
    newest: int = NEWEST_VERSION
    features: frozenset[str] = attrs.field(default=FEATURES, repr=lambda names: repr(sorted(names)))

    def __attrs_post_init__(self) -> None:
        if not 0 < self.oldest <= self.newest <= 0xFFFF:
            raise ConfigurationError(f"protocol versions {self.oldest} to {self.newest} are no range")

    def agree(self, other: ProtocolRange) -> Agreement | None:
        """What the two speak with each other; None where no version is known to both."""
        version = min(self.newest, other.newest)
        if version < max(self.oldest, other.oldest):
            return None
        return Agreement(version, self.features & other.features)

    def __str__(self) -> str:
        if self.oldest == self.newest:
            return f"version {self.newest}"
        return f"versions {self.oldest} to {self.newest}"


THIS_VERSION = ProtocolRange()


@frozen
class Hello:
    """What a dialer says first. The ids of one older than version 3 are not read: they are empty.

    Attributes:
        cluster_id, sender, receiver: ids.
        protocol: what the sender speaks.
        initial_voters: digest of the voters that its cluster began with (`voters_digest`); empty: it does not know.
        timing_ms: its heartbeat interval and shortest election timeout, in milliseconds; zeros: it does not say.
        incarnation, address, configuration_index, start, met, configuration_term: see `Greeting`.
        leases: what leases its leaders hold; empty: none.
        client: of a client, which is no member: what it calls itself. It names neither sender nor receiver.
        skipped_commands: which commands of the log it leaves out; empty: none.
    """

    cluster_id: str
    sender: str
    receiver: str
    protocol: ProtocolRange = THIS_VERSION
    initial_voters: bytes = b""
    timing_ms: tuple[int, int] = (0, 0)
    incarnation: str = ""
    address: str = ""
    configuration_index: int = 0
    leases: str = ""
    client: str = ""
    skipped_commands: str = ""
    start: Start | None = None
    met: Met | None = None
    configuration_term: int = 0

    @property
    def greeting(self) -> Greeting:
        """What the sender says of itself."""
        can, index, term = self.protocol.features, self.configuration_index, self.configuration_term
        return Greeting(self.sender, self.incarnation, self.address, index, can, "", self.start, self.met, term)

    @classmethod
    def of(cls, endpoint: Endpoint, receiver: str, protocol: ProtocolRange) -> Hello:
        """What the node of this endpoint says to `receiver`."""
        digest = voters_digest(endpoint.initial_voters)
        return cls(
            endpoint.cluster_id,
            endpoint.node_id,
            receiver,
            protocol,
            digest,
            timing_ms(endpoint),
            endpoint.incarnation,
            endpoint.address,
            endpoint.configuration_index(),
            endpoint.leases,
            skipped_commands=endpoint.skipped_commands,
            start=endpoint.start,
            met=endpoint.met(receiver),
            configuration_term=endpoint.configuration_term(),
        )

    def encode(self) -> bytes:
        """Return the hello's bytes, not yet framed."""
        texts = {
            Tag.CLUSTER_ID: self.cluster_id.encode(),
            Tag.SENDER: self.sender.encode(),
            Tag.RECEIVER: self.receiver.encode(),
        }
        more = {Tag.INITIAL_VOTERS: self.initial_voters} if self.initial_voters else {}
        if self.timing_ms != (0, 0):
            more[Tag.TIMING] = _TIMING.pack(*self.timing_ms)
        if self.leases:
            more[Tag.LEASES] = self.leases.encode()
        if self.skipped_commands:
            more[Tag.SKIPPED_COMMANDS] = self.skipped_commands.encode()
        if self.address:
            more[Tag.ADDRESS] = self.address.encode()
        if self.client:
            more[Tag.CLIENT] = self.client.encode()
        more |= identity_fields(self.incarnation, self.configuration_index, self.configuration_term)
        more |= start_fields(self.start, self.met)
        return _PREFIX.pack(MAGIC, self.protocol.newest) + pack_fields(
            {**_range_fields(self.protocol), **texts, **more}
        )

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Open a hello.

        Raises:
            ProtocolError: whatever it is, no node of raft_actors said it.
        """
        newest = _check_prefix(data, "hello")
        if newest < _FIRST_WITH_FIELDS:
            return cls("", "", "", ProtocolRange(newest, newest, frozenset()))
        fields = unpack_fields(data, _PREFIX.size, "hello")
        missing = [tag.name.lower() for tag in (Tag.CLUSTER_ID, Tag.SENDER, Tag.RECEIVER) if tag not in fields]
        if missing:
            raise ProtocolError(f"a hello without {' and '.join(missing)}")
        cluster_id, sender, receiver = (text(fields, tag) for tag in (Tag.CLUSTER_ID, Tag.SENDER, Tag.RECEIVER))
        timing = fields.get(Tag.TIMING, bytes(_TIMING.size))
        if len(timing) != _TIMING.size:
            raise ProtocolError(f"a hello whose timing has {len(timing)} bytes, not {_TIMING.size}")
        return cls(
            cluster_id,
            sender,
            receiver,
            _range(newest, fields),
            fields.get(Tag.INITIAL_VOTERS, b""),
            _TIMING.unpack(timing),
            short_text(fields, Tag.INCARNATION, MAX_INCARNATION_BYTES),
            short_text(fields, Tag.ADDRESS, MAX_ADDRESS_BYTES),
            configuration_index(fields),
            short_text(fields, Tag.LEASES, MAX_ADDRESS_BYTES),
            short_text(fields, Tag.CLIENT, MAX_ID_BYTES),
            short_text(fields, Tag.SKIPPED_COMMANDS, MAX_SKIPPED_BYTES),
            start_of(fields),
            met_of(fields),
            configuration_term(fields),
        )


@frozen
class Answer:
    """What the other side says to a hello.

    Attributes:
        verdict: whether it accepts, or why not.
        protocol: what it speaks.
        detail: for a log, what is behind a refusal; at most `MAX_DETAIL_BYTES` are sent.
        incarnation, configuration_index, start, met, configuration_term: of the side that answers, see `Greeting`.
    """

    verdict: Verdict
    protocol: ProtocolRange = THIS_VERSION
    detail: str = ""
    incarnation: str = ""
    configuration_index: int = 0
    start: Start | None = None
    met: Met | None = None
    configuration_term: int = 0

    def greeting(self, peer: str, dialled: str) -> Greeting:
        """What the side that answers says of itself: this peer, reached at this address."""
        can, index, term = self.protocol.features, self.configuration_index, self.configuration_term
        return Greeting(peer, self.incarnation, "", index, can, dialled, self.start, self.met, term)

    def encode(self, caller: ProtocolRange) -> bytes:
        """Return the answer's bytes, not yet framed, as a caller who speaks these versions can read it."""
        bare = _PREFIX.pack(MAGIC, self.protocol.newest) + _VERDICT.pack(self.verdict)
        if caller.newest < _FIRST_WITH_FIELDS:
            return bare
        detail = self.detail.encode()[:MAX_DETAIL_BYTES]
        more = identity_fields(self.incarnation, self.configuration_index, self.configuration_term)
        more |= start_fields(self.start, self.met)
        return bare + pack_fields({**_range_fields(self.protocol), **({Tag.DETAIL: detail} if detail else {}), **more})

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Open an answer. One older than version 3 means that the versions differ, whatever else it says.

        Raises:
            ProtocolError: it is none.
        """
        newest = _check_prefix(data, "answer")
        if newest < _FIRST_WITH_FIELDS:
            return cls(Verdict.OTHER_VERSION, ProtocolRange(newest, newest, frozenset()))
        if len(data) < BARE_ANSWER_BYTES:
            raise ProtocolError(f"an answer of {len(data)} bytes, which lacks its verdict")
        fields = unpack_fields(data, BARE_ANSWER_BYTES, "answer")
        number, detail = data[_PREFIX.size], fields.get(Tag.DETAIL, b"").decode(errors="replace")
        try:
            verdict = Verdict(number)
        except ValueError:
            verdict, detail = Verdict.OTHER_REASON, f"number {number} {detail}".rstrip()
        incarnation = short_text(fields, Tag.INCARNATION, MAX_INCARNATION_BYTES)
        index, term = configuration_index(fields), configuration_term(fields)
        starts = (start_of(fields), met_of(fields))
        return cls(verdict, _range(newest, fields), detail, incarnation, index, *starts, term)


def judge(hello: Hello, endpoint: Endpoint, protocol: ProtocolRange) -> Answer:
    """Decide whether the node of this endpoint takes messages from the one who says this hello."""
    verdict, detail = Verdict.ACCEPTED, ""
    if protocol.agree(hello.protocol) is None:
        verdict, detail = Verdict.OTHER_VERSION, other_version(protocol, hello.protocol)
    elif hello.cluster_id != endpoint.cluster_id:
        verdict, detail = Verdict.OTHER_CLUSTER, f"this is a node of cluster {endpoint.cluster_id!r}"
    elif hello.sender == endpoint.node_id:
        verdict = Verdict.ITSELF
    elif hello.receiver != endpoint.node_id:
        verdict, detail = Verdict.WRONG_RECEIVER, f"this is node {endpoint.node_id!r}"
    elif differ(hello.initial_voters, voters_digest(endpoint.initial_voters)):
        names = ", ".join(endpoint.initial_voters)
        verdict, detail = Verdict.OTHER_VOTERS, f"node {endpoint.node_id!r} was started with the voters {names}"
    elif hello.sender not in endpoint.peers:
        verdict = Verdict.UNKNOWN_NODE
    elif hello.leases != endpoint.leases:
        verdict, detail = Verdict.OTHER_LEASES, f"this node's cluster has {endpoint.leases or 'no leases'}"
    elif hello.skipped_commands != endpoint.skipped_commands:
        verdict = Verdict.OTHER_SKIPPED_COMMANDS
        detail = skipped_trouble(hello.skipped_commands, endpoint.skipped_commands)
    else:
        detail = timing_trouble(hello.timing_ms, timing_ms(endpoint))
        verdict = Verdict.OTHER_TIMING if detail else verdict
    if verdict is Verdict.ACCEPTED:
        refusal = endpoint.admit(hello.greeting)
        if refusal is not None:
            verdict, detail = Verdict[refusal.reason], refusal.detail
    index, term = endpoint.configuration_index(), endpoint.configuration_term()
    answer = Answer(verdict, protocol, detail, endpoint.incarnation, index, configuration_term=term)
    if verdict is not Verdict.ACCEPTED:
        return answer
    return attrs.evolve(answer, start=endpoint.start, met=endpoint.met(hello.sender))


def other_version(one: ProtocolRange, other: ProtocolRange) -> str:
    """What to tell of two nodes that have no version in common: `one` is the node that tells it."""
    older = "this node" if one.newest < other.newest else "the other one"
    return f"this node speaks {one} of the protocol, the other one {other}: upgrade {older}"


# --- fields --------------------------------------------------------------------------------------------------


def _range_fields(protocol: ProtocolRange) -> dict[Tag, bytes]:
    return {
        Tag.OLDEST_VERSION: _VERSION.pack(protocol.oldest),
        Tag.FEATURES: ",".join(sorted(protocol.features)).encode(),
    }


def _range(newest: int, fields: dict[int, bytes]) -> ProtocolRange:
    oldest = newest
    if Tag.OLDEST_VERSION in fields:
        oldest = number(fields[Tag.OLDEST_VERSION], _VERSION)
    if not 0 < oldest <= newest:
        raise ProtocolError(f"a node that speaks versions {oldest} to {newest} of the protocol")
    names = text(fields, Tag.FEATURES) if Tag.FEATURES in fields else ""
    return ProtocolRange(oldest, newest, frozenset(filter(None, names.split(","))))


def _check_prefix(data: bytes, what: str) -> int:
    """The newest version that the other side speaks."""
    if len(data) < _PREFIX.size or not data.startswith(MAGIC):
        raise ProtocolError(f"this is no {what} of raft_actors: {data[:16]!r}")
    version: int = _PREFIX.unpack_from(data)[1]
    if not version:
        raise ProtocolError(f"a {what} of version 0")
    return version
