"""What the service and each of its connections know while they run; no I/O of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from raft_actors.config import KIB, MIB, NodeConfig
from raft_actors.records import define, frozen
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.logins import Logins
from raft_actors.service.memory import FREE_BYTES, ClientMemory
from raft_actors.service.patience import PatientReplica
from raft_actors.service.replica import Replica
from raft_actors.service.resp import Request, RequestLimits
from raft_actors.service.users import DEFAULT_USER, EVERYBODY, Rights, User
from raft_actors.transports.sockets.direct import DirectStream
from raft_actors.transports.tls.credentials import CertificateFiles

if TYPE_CHECKING:
    from raft_actors.service.command import Command


@frozen(kw_only=True)
class ServiceConfig:
    """Settings of one node's service; sizes are bytes, times seconds.

    Attributes:
        addresses: node id → `host:port` where that node serves its clients.
        patience_s: how long a request may wait for a leader, or for its outcome, before the client is told.
        max_connections: further ones are answered with an error and closed.
        limits: what one client may make the service hold. `max_bulk_bytes` bounds keys and values; what is
            below it and above `max_command_bytes` is refused without closing the connection.
        max_request_memory_bytes: what all clients together may make the service hold of requests that are under way
            or queued by MULTI, not counting 64 KiB of each; who needs more waits.
        request_patience_s: who has held some of it for so long, while others wait for it, is closed.
        max_command_bytes: the node's `NodeConfig.max_command_bytes`.
        send_bytes: replies are sent once so many bytes are ready, even where more requests wait.
        dead_client_timeout_s: a client whose machine answers nothing, or that takes none of the replies that wait for
            it, is given up after so long.
        tls: what the service shows its clients; with `ca`, clients have to show certificates too. None: no TLS.
        users: the file of users (see `users`). None: whoever reaches the service may do all.
        max_connections_per_address: the same for one address. None: as many as there may be.
        max_handshakes_per_address: connections of one address at a time whose clients have yet to say who they are, TLS
            included, where they have to; a further one takes the place of the oldest of them.
        max_connects_per_address_s: connections that one address may open in a second, on the average of ten at least,
            and as many at once as it may have; further ones are closed unheard.
        max_connects_s: the same for all addresses together of which no client is connected.
        login_timeout_s: how long a client may take to say who it is, TLS included, where it has to.
        moved: send clients to the leader by MOVED, where they don't say otherwise (RAFT.MOVED, READONLY).
        drain_timeout_s: how long a shutdown waits for requests under way.
    """

    addresses: Mapping[str, str]
    patience_s: float = 10.0
    max_connections: int = 1000
    limits: RequestLimits = attrs.field(factory=RequestLimits)
    max_request_memory_bytes: int = 256 * MIB
    request_patience_s: float = 10.0
    max_command_bytes: int = NodeConfig().max_command_bytes
    send_bytes: int = 256 * KIB
    dead_client_timeout_s: float = 60.0
    tls: CertificateFiles | None = None
    users: Path | None = None
    max_connections_per_address: int | None = None
    max_handshakes_per_address: int = 256
    max_connects_per_address_s: float = 100.0
    max_connects_s: float = 200.0
    login_timeout_s: float = 10.0
    moved: bool = False
    drain_timeout_s: float = 5.0


@define
class ServiceStatistics:
    """Counters since the service started."""

    accepted_connections: int = 0
    rejected_connections: int = 0
    """Connections that found no room, or brought no client."""
    rejected_by_cause: Counter[str] = attrs.field(factory=Counter[str])
    """The same by cause: MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, LOGIN_TIMEOUT, DISPLACED or
    MAX_HANDSHAKES_PER_ADDRESS (it had not said yet who it is, and others needed its place), or a name of
    `tls.failures.Trouble`. Those that were closed unheard are not among them."""
    denied_commands: int = 0
    """Requests for what a client may not do, or not before it says who it is."""
    protocol_errors: int = 0
    """Connections closed because of what came over them."""
    requests: int = 0


@define
class Transaction:
    """What a client has asked for since MULTI.

    Attributes:
        queued: its requests, each with the command that it names; emptied once one was refused.
        size: bytes of their arguments.
        overhead: what Python takes for those that are queued, beside these bytes.
        weight: how long they take, in plain commands.
        refused: something was no command or too much, so that EXEC has to refuse all.
    """

    queued: list[tuple[Command, Request]] = attrs.field(factory=list["tuple[Command, Request]"])
    size: int = 0
    overhead: int = 0
    weight: int = 0
    refused: bool = False


@define(eq=False)
class Session:
    """One client's connection.

    Attributes:
        number: unique in this process.
        protocol: 2 or 3, which RESP its replies have.
        name: what the client called itself.
        closing: answer no further request.
        transaction: what was queued since MULTI; None outside of a transaction.
        user: who it is; None until it has said so, where it has to.
        rights: what it may do.
        moved: whether it is to be sent to the leader, where this node does not lead.
        reads_anywhere: not for reads.
        trusted: it may do all, here: nothing needs to be looked at.
        life: ends the connection; its deadline is for those who have yet to say who they are.
        displaced: by which bound it was ended for others' sake; "": it was not.
    """

    number: int
    protocol: int = 2
    name: bytes = b""
    closing: bool = False
    transaction: Transaction | None = None
    user: User | None = EVERYBODY[DEFAULT_USER]
    rights: Rights = Rights.ALL
    moved: bool = False
    reads_anywhere: bool = False
    trusted: bool = True
    displaced: str = ""
    life: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def become(self, user: User | None) -> None:
        """Be this user from now on, and in no hurry any more; None: be nobody."""
        self.user = user
        self.rights = Rights.NONE if user is None else user.rights
        self.want_moved(self.moved)
        if user is not None:
            self.life.deadline = inf

    def want_moved(self, wanted: bool) -> None:
        """Be sent to the leader from now on, or be served here."""
        self.moved = wanted
        self.trusted = self.rights == Rights.ALL and not wanted

    def queued_bound_bytes(self, max_command_bytes: int) -> int:
        """How much MULTI may come to hold for it, as far as can be told by now."""
        queued = self.transaction
        if queued is None:
            return 0
        return (queued.size if queued.size <= FREE_BYTES else max_command_bytes) + queued.overhead


@define(eq=False)
class Context:
    """What all connections of one service share.

    Attributes:
        machine: the node's own copy of the data, for reads that may be stale.
        sessions: the connections that are open.
        logins: who may log in.
        memory: room for what clients send.
        any_node: the node, as clients see it: it does all that the leader does.
        unheard: connections that were closed unheard, or not even that, by cause (`SharedBudget.refused`).
        draining: the service is shutting down: finish what was begun, and begin nothing.
    """

    node: Replica
    machine: KeyValue
    config: ServiceConfig
    statistics: ServiceStatistics = attrs.field(factory=ServiceStatistics)
    sessions: dict[Session, DirectStream] = attrs.field(factory=dict[Session, DirectStream])
    logins: Logins = attrs.field(factory=Logins)
    unheard: Counter[str] = attrs.field(factory=Counter[str])
    draining: bool = False
    started_at: float = attrs.field(factory=trio.current_time)
    memory: ClientMemory = attrs.field(init=False)
    any_node: PatientReplica = attrs.field(init=False)

    def default_user(self) -> User | None:
        """Who a client is that has not said so: nobody, where that takes a password."""
        user = self.logins.users.get(DEFAULT_USER)
        return user if user is not None and user.enabled and user.password is None else None

    def __attrs_post_init__(self) -> None:
        self.memory = ClientMemory(self.config.max_request_memory_bytes, self.config.request_patience_s)
        self.any_node = PatientReplica(self.node, self.config.patience_s, self.config.max_command_bytes)


LARGEST_READ = 1 * MIB
SMALLEST_READ = 16 * KIB
