"""A connection of a client, which is no member: payloads in both directions, in order, until either side goes.

What the payloads say is the affair of `node.client_messages`; a transport carries them, and says who the client is.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from raft_actors.records import frozen


class Right(enum.Enum):
    """What a client must be allowed to do."""

    READ = "read"
    WRITE = "write"
    OPERATE = "operate"


ALL_RIGHTS = frozenset(Right)


@frozen
class Caller:
    """A client, as far as the transport knows.

    Attributes:
        name: for the log: of its certificate, or where it calls from.
        rights: what it may do.
        speaks_for: where it goes by the certificate of a node, whether that is this one. Its rights hold only as long
            as that node is a member, which is for the node that it calls to say (`Endpoint.trusts`). None: it has
            rights of its own.
    """

    name: str
    rights: frozenset[Right] = ALL_RIGHTS
    speaks_for: Callable[[str], bool] | None = None


class Conversation(ABC):
    """Payloads to and from the other side. One task at a time may send, and one may receive."""

    @abstractmethod
    async def send(self, payloads: Sequence[bytes]) -> None:
        """Send payloads, in order.

        Raises:
            Unreachable: the connection is broken.
        """

    @abstractmethod
    async def receive(self) -> list[bytes]:
        """Wait for payloads, and return all that are there; none at the end.

        Raises:
            Unreachable: the connection is broken.
            ProtocolError: what came is none, or larger than it may be.
        """

    def hold(self, size: int) -> None:  # noqa: B027 - for those whose memory is counted
        """Count so many bytes more (or less, if negative) as held in memory for the other side, beside those of the
        conversation itself. Where that is too much for all of them, this one, or another, is ended.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """End it, without waiting for the other side."""


Converse = Callable[[Conversation, Caller], Awaitable[None]]
"""`converse(conversation, caller)`: do what a client asks for until it goes. The transport closes the conversation.

Raises:
    TransportError: the connection broke, or what came over it is not what a client may say.
"""


class Dialer(Protocol):
    """How a client reaches nodes."""

    async def dial(self, address: str, cluster_id: str, node_id: str | None = None) -> Conversation:
        """Connect with the node at an address, and greet it. The caller closes the conversation.

        Args:
            address: where.
            cluster_id: whose member it must be.
            node_id: which node it must be, where certificates tell; None: any of them.

        Raises:
            Unreachable: nobody answers there.
            TransportError: who answers refuses, or is not who it must be, or of a version that serves no clients.
            ConfigurationError: the address, or a certificate of this side, can't be used.
        """
        ...
