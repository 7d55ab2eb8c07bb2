"""What a node offers to those whose commands must take effect exactly once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from raft_actors.node.sessions import Session, SessionState
from raft_actors.node.submission import Submission
from raft_actors.state_machine import StateMachine

C = TypeVar("C")
R = TypeVar("R")
M_co = TypeVar("M_co", bound=StateMachine[Any, Any], covariant=True)


class SessionsNode(Generic[M_co]):
    """What a node offers to those whose commands must take effect exactly once."""

    _submission: Submission[Any, Any]

    @asynccontextmanager
    async def session(
        self: SessionsNode[StateMachine[C, R]], state: SessionState | None = None, *, end: bool = True
    ) -> AsyncGenerator[Session[C, R], None]:
        """Propose exactly once: `async with node.session() as session: await session.propose(command)`.

        Whatever happens to leaders and connections, each command is carried out once, and its result comes back. The
        session may be used by many tasks. When the block ends, so does the session, unless `end` is False;
        where the block raises, the session is left to expire.

        Args:
            state: of a session to take up, as `Session.state` gave it, perhaps in another process; see `outcomes`.
            end: False: leave the session open at the end of the block.

        Raises:
            ConfigurationError: a member is of a version that knows no sessions.
        """
        submission = self._submission
        submission.check_sessions()
        session: Session[C, R] = Session(submission.propose_entry, submission.encoded, state)
        yield session
        if end:
            await session.end()
