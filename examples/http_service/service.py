"""What the service does, whichever framework hands it requests. Its node is opened and closed by `__main__`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import trio

from examples.config_store.store import ConfigStore, Delete, RevisionDiffers, Set
from raft_actors import CommandFailed, CommandTooLarge, Node, NotCommitted, NotLeader, Overloaded, ProposalError

PATIENCE_S = 2.0
"""How long a request waits for an election or a commit."""
LATER: Mapping[str, str] = {"Retry-After": "1"}


@attrs.frozen
class Answer:
    """A status, a body that becomes JSON, and headers."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])


class Service:
    """Reads and changes one key, at any node: one that does not lead forwards changes to the leader."""

    def __init__(self, node: Node[ConfigStore]) -> None:
        self._node = node

    async def get(self, key: str) -> Answer:
        """The value with all that was answered with 200 before, by whichever node."""
        try:
            with trio.fail_after(PATIENCE_S):
                value = await self._node.read(lambda store: store.values.get(key))
        except (ProposalError, trio.TooSlowError) as error:  # a read can always be tried again
            return Answer(503, {"error": f"it can't be read now: {error!r}"}, LATER)
        if value is None:
            return Answer(404, {"error": f"there is no {key}"})
        return Answer(200, {"revision": value.revision, "value": value.text})

    async def put(self, key: str, value: str, if_revision: int | None) -> Answer:
        """Set it. What is answered with 200 is on the disks of a majority."""
        return await self._change(Set(key, value, if_revision))

    async def delete(self, key: str) -> Answer:
        """Remove it."""
        return await self._change(Delete(key))

    async def health(self) -> Answer:
        """200 where a leader is known; for a load balancer."""
        status = self._node.status()
        state = {"role": str(status.role), "leader": status.leader, "applied_index": status.applied_index}
        return Answer(200 if status.leader is not None else 503, state)

    async def _change(self, command: Set | Delete) -> Answer:
        """Propose it, and say what has become of it where that fails."""
        try:
            with trio.fail_after(PATIENCE_S):
                return Answer(200, {"revision": await self._node.propose(command)})
        except CommandFailed as failure:
            status = 409 if isinstance(failure.__cause__, RevisionDiffers) else 500
            return Answer(status, {"error": str(failure.__cause__)})
        except TypeError as error:  # of the codec: a number beyond 64 bits, half of a surrogate pair
            return Answer(422, {"error": f"nothing was changed: {error}"})
        except CommandTooLarge as error:
            return Answer(413, {"error": f"nothing was changed: {error}"})
        except (NotLeader, NotCommitted, Overloaded) as error:
            return Answer(503, {"error": f"nothing was changed: {error}"}, LATER)
        except (ProposalError, trio.TooSlowError) as error:
            return Answer(504, {"error": f"the change may count, or not: {error!r}"})
