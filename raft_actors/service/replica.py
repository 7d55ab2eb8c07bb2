"""What the service needs of a node, which is less than a `Node` has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from raft_actors.node.members import MembersStatus
from raft_actors.node.status import NodeStatus

T = TypeVar("T")


class Numbered(Protocol):
    """What the service needs of a session (`Node.session`): each command is carried out once."""

    async def propose(self, command: bytes) -> Any: ...


class Replica(Protocol):
    """What the service needs of a node, which is less than a `Node` has."""

    async def propose_many(self, commands: Sequence[bytes], *, forward: bool = True) -> list[Any]: ...
    async def propose(self, command: bytes, *, forward: bool = True) -> Any: ...
    async def read(self, query: Callable[[Any], T]) -> T: ...
    def session(self, *, end: bool = True) -> AbstractAsyncContextManager[Numbered]: ...
    async def wait_leader(self) -> str: ...
    async def wait_applied(self, index: int) -> None: ...
    def status(self) -> NodeStatus: ...
    def members(self) -> MembersStatus: ...
