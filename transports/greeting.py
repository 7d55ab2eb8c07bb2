"""What a node tells another one of itself when a connection begins, and what it is refused for.

An id says who a node is in the cluster; its incarnation says which store speaks for it. Raft counts on what a member
has promised (its vote, the entries that it acknowledged), and that is in its store: one that comes back under its id
with another store has forgotten it, and must not be taken for the one that it was. So has one that comes back with an
older copy of its store: each of the two is told what the other one remembers of it (`raft.starts`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from raft_actors.errors import RaftError
from raft_actors.raft.newest import Newest
from raft_actors.raft.starts import Met, Start
from raft_actors.records import frozen
from raft_actors.transports.conversation import Caller


@frozen
class Greeting:
    """What a peer says of itself.

    Attributes:
        sender: its id.
        incarnation: of its store; "" where it does not say (an older version does not).
        address: where it says that its peers reach it; "" where it does not say: it does when it calls.
        configuration_index: the log index of the newest configuration of the cluster that it knows; 0: of none but the
            one that the cluster began with.
        features: what it can do (`raft.features`).
        dialled: where this node has reached it; "" where it is the one that has called.
        start: of its store; None where it does not say.
        met: which start of this node's store it remembers; None where it says none.
        configuration_term: the term of that configuration's entry (`raft.newest`); 0 where it does not say.
    """

    sender: str
    incarnation: str = ""
    address: str = ""
    configuration_index: int = 0
    features: frozenset[str] = frozenset()
    dialled: str = ""
    start: Start | None = None
    met: Met | None = None
    configuration_term: int = 0

    @property
    def newest(self) -> Newest:
        """The newest configuration that it knows."""
        return Newest(self.configuration_index, self.configuration_term)


@frozen
class Refusal:
    """Why a node has nothing to do with another one.

    Attributes:
        reason: a name of `handshake.Verdict`.
        detail: what is behind it, with the remedy.
        configuration_index: the newest configuration that the node that refuses knows.
        configuration_term: the term of that configuration's entry; 0 where it does not say.
    """

    reason: str
    detail: str = ""
    configuration_index: int = 0
    configuration_term: int = 0

    @property
    def newest(self) -> Newest:
        """The newest configuration that the node that refuses knows."""
        return Newest(self.configuration_index, self.configuration_term)


OLDER_STORE = "OLDER_STORE"
"""Why a node refuses a peer from which it learns that its own store is an older copy: the fault is not the peer's."""

Admit = Callable[[Greeting], Refusal | None]
"""`admit(greeting)`: the node's word on a peer that the transport would take. Never blocks; None: it is welcome."""

Refused = Callable[[str, Refusal], None]
"""`refused(peer, refusal)`: a peer refused this node for what the node is, not for a mishap. Never blocks."""


class Denied(RaftError):
    """Who asks may not have this done, and nothing was.

    Attributes:
        reply: to be sent all the same: it says so.
        refusal: why; its reason is counted.
    """

    def __init__(self, reply: bytes, refusal: Refusal) -> None:
        self.reply = reply
        self.refusal = refusal
        super().__init__(refusal.detail)


Operate = Callable[[bytes, Caller], Awaitable[bytes]]
"""`operate(request, caller)`: do what an operator asks for, and say what came of it.

Raises:
    Denied: this caller may not have it done.
"""

NOT_A_MEMBER = "NOT_A_MEMBER"
"""Why somebody is refused whose certificate is a node's that is no member: a name of `tls.failures.Trouble`."""

Trusts = Callable[[Caller], bool]
"""`trusts(caller)`: whether the rights of somebody who is no peer hold now. Never blocks."""


def everybody(_caller: Caller) -> bool:
    """Trust whoever the transport lets in."""
    return True


def anybody(_greeting: Greeting) -> Refusal | None:
    """Admit whoever the transport takes."""
    return None


def never_mind(_peer: str, _refusal: Refusal) -> None:
    """Do nothing about it."""
