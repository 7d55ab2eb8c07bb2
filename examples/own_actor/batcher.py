"""An actor that proposes what many tasks ask for together: one `propose_many` a turn, however many have asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from raft_actors import ProposalError
from raft_actors.actors.actor import Actor
from raft_actors.actors.pending import Pending


@attrs.frozen
class Do:
    """Have a command carried out. The answer is its result, or the error that it met."""

    command: Any
    reply: Pending[Any]


class Batcher(Actor[Do]):
    """Takes what waits in its mailbox, proposes it as one, and answers each.

    While one turn waits for its commit, the next one's commands gather: the slower the disk, the larger the batches.

    Attributes:
        sizes: how many commands each turn has proposed.
    """

    def __init__(self, propose_many: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]) -> None:
        """`propose_many`: a node's, or anything else that gives a result for each command: the tests' do."""
        super().__init__(name="batcher", capacity=1_000)
        self._propose_many = propose_many
        self.sizes: list[int] = []

    async def receive(self, messages: list[Do]) -> None:
        """Propose what has come; a refusal or an unknown outcome is everybody's answer, and no reason to end."""
        self.sizes.append(len(messages))
        try:
            results = await self._propose_many([message.command for message in messages])
        except ProposalError as error:
            for message in messages:
                message.reply.fail(error)
            return
        for message, result in zip(messages, results, strict=True):
            if isinstance(result, Exception):  # a command whose `apply` raised: its own outcome, not the others'
                message.reply.fail(result)
            else:
                message.reply.resolve(result)

    async def do(self, command: Any) -> Any:
        """Ask for a command, and wait for its result.

        Raises:
            MailboxFull: a thousand wait already: nothing was proposed.
            ActorStopped: it has ended; a command under way may or may not take effect.
            ProposalError: as `Node.propose_many` raises it.
        """
        return await self.ask(lambda reply: Do(command, reply))
