"""The target of what operators, and nodes that want to join, ask of a node: up to what a leader makes of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import attrs
import msgpack  # pyright: ignore[reportMissingTypeStubs]
import trio

from raft_actors.config import NodeConfig
from raft_actors.errors import ProtocolError, RaftError
from raft_actors.node.asking import OperationRefused, decode, encode, opened
from raft_actors.node.members import MembersStatus, PendingChange, members_of
from raft_actors.node.operating import OPERATIONS, Operations
from raft_actors.node.status import NodeStatus
from raft_actors.raft.effects import ChangeBegun, Refuse
from raft_actors.raft.inputs import ChangeRequested
from raft_actors.raft.newest import Newest
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Leader
from raft_actors.transports.conversation import Caller
from raft_actors.transports.greeting import Denied
from raft_actors.transports.wire.operating import seal, unseal
from tests.fuzz.target import Target
from tests.service.support import LoneReplica
from tests.unit.builders import make_durable, make_leader


@attrs.define(eq=False)
class _Node:
    """What operations need of a node: this one leads, alone."""

    leader: Leader
    inside: Any
    node_id: str = "n1"
    cluster: Any = attrs.field(factory=lambda: SimpleNamespace(cluster_id="c"))

    def status(self) -> NodeStatus:
        return LoneReplica(cast("Any", None)).status()

    def statistics(self) -> Any:
        return SimpleNamespace(transport=SimpleNamespace(peers={}))

    def members(self) -> MembersStatus:
        return members_of(self.inside)

    async def change_members(self, voters: Any = None, learners: Any = None, **more: Any) -> MembersStatus:
        """As far as the leader's decision, and its write."""
        await trio.lowlevel.checkpoint()
        _leaders.clear()  # this one is not as it was any more
        arguments: dict[str, Any] = {"if_config": None, "promote": True, **more}
        pending = PendingChange(voters, learners, **arguments)
        try:
            effects = self.leader.handle(ChangeRequested(pending), 0.0)
        except Exception as error:
            raise AssertionError("the leader would have ended") from error
        make_durable(self.leader, effects)
        for effect in effects:
            if isinstance(effect, Refuse):
                raise effect.error
        if not any(isinstance(effect, ChangeBegun) for effect in effects):
            raise AssertionError("neither begun nor refused")
        return self.members()

    async def transfer_leadership(self, to: str | None) -> str:
        await trio.lowlevel.checkpoint()
        return to or "n2"

    async def take_snapshot(self) -> SnapshotMetadata:
        await trio.lowlevel.checkpoint()
        return SnapshotMetadata(3, 2)


_leaders: list[Leader] = []
"""The one that the next input finds, if the last one changed nothing: most don't, and to make one takes longer."""


def _leader() -> Leader:
    if not _leaders:
        _leaders.append(make_leader(voters=1))
    return _leaders[0]


_CONFIG = NodeConfig()


def _node(*, is_trusted: bool) -> _Node:
    leader = _leader()
    inside = SimpleNamespace(
        node_id="n1",
        initial_voters=("n1",),
        role=leader,
        clock=SimpleNamespace(now=lambda: 0.0),
        changed=trio.lowlevel.ParkingLot(),
        acquaintances=SimpleNamespace(
            known=lambda _member: "",
            met=lambda _member: None,
            newest=lambda: Newest.of(leader.state.configurations, leader.state.log),
        ),
        transport=SimpleNamespace(statistics=lambda: SimpleNamespace(peers={})),
        recovered_state=lambda: leader.state,
        trusts=lambda _caller: is_trusted,
        config=_CONFIG,
    )
    return _Node(leader, inside)


async def _operate(data: bytes) -> object:
    """Whatever is asked is answered, in a way that whoever asked understands.

    Changes at random hardly ever leave JSON as JSON, so it is made from msgpack: of what is left of that. Who asks is a
    member, or, where the bytes are odd in number, none.
    """
    request = unseal(data)
    if request[:1] not in b"{[":
        request = json.dumps(_unpacked(request), default=str, skipkeys=True).encode()
    try:
        decode(request)
    except ProtocolError:
        return None
    node = _node(is_trusted=len(data) % 2 == 0)
    try:
        reply = await Operations(cast("Any", node), node.inside).answer(request, _N2)
    except Denied as denied:
        reply = denied.reply
    try:
        return opened(unseal(seal(reply)))
    except OperationRefused as refused:
        if refused.kind not in _ERRORS:
            raise AssertionError(f"{refused.kind} is no error of ours") from refused
        return refused
    except ProtocolError as error:
        raise AssertionError("who asked does not understand the reply") from error


def _unpacked(data: bytes) -> Any:
    unpacker: Any = msgpack.Unpacker(unicode_errors="surrogateescape", strict_map_key=False)
    unpacker.feed(data)
    try:
        return next(unpacker)
    except Exception as error:  # msgpack raises whatever the bytes provoke
        raise ProtocolError("no request") from error


def _all_errors(cls: type[BaseException]) -> set[type[BaseException]]:
    return {cls}.union(*map(_all_errors, cls.__subclasses__()))


_ERRORS = {error.__name__ for error in _all_errors(RaftError)} | {"NotPermitted"}
_N2 = Caller("n2", speaks_for="n2".__eq__)


_ARGUMENTS = {
    "id": "n2",
    "to": "n2",
    "address": "n2:1",
    "metadata": {"zone": "a"},
    "incarnation": "0123",
    "features": ["priority"],
    "priority": 7,
    "voter": False,
    "wiped": True,
}


def _requests() -> tuple[bytes, ...]:
    """Each operation, of somebody new and of the one that there is; as JSON and as what it is made from."""
    pack: Any = msgpack.packb
    asked = [
        {"cluster": "c", "do": name, "with": _ARGUMENTS | {"id": member}}
        for name in OPERATIONS
        for member in ("n1", "n2")
    ]
    return *(seal(pack(request)) for request in asked), *(seal(encode(request)) for request in asked[:2])


TARGETS: dict[str, Target] = {
    "operation": Target(
        _operate, (ProtocolError,), _requests(), free_bytes=1_500_000, inputs_in_test=2_000, waits=True
    ),
}
