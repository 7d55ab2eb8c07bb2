"""Clients and operators whose connections are open, and which of them have lost what let them in."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import attrs
import trio

from raft_actors.records import define
from raft_actors.transports.conversation import Caller
from raft_actors.transports.greeting import Trusts

REPLY_GRACE_S = 0.5
"""For how long an operator who is trusted no more waits for a reply: its own removal is what it may have asked for."""


@define(eq=False)
class OpenCallers:
    """Those of one node.

    Attributes:
        trusts: see `Endpoint.trusts`.
    """

    trusts: Trusts
    _open: dict[trio.CancelScope, tuple[Caller, float]] = attrs.field(
        factory=dict[trio.CancelScope, tuple[Caller, float]], init=False
    )

    @contextmanager
    def serving(self, caller: Caller, *, grace_s: float = 0.0, newcomers: bool = False) -> Generator[trio.CancelScope]:
        """Serve a caller in the block, which is cancelled once `review` finds it trusted no more.

        Args:
            caller: who it is.
            grace_s: how long it goes on after that.
            newcomers: whether to serve one, too, that is not trusted to begin with.
        """
        with trio.CancelScope() as scope:
            if self.trusts(caller):
                self._open[scope] = caller, grace_s
            elif not newcomers:  # it was, when it was greeted
                scope.cancel()
            try:
                yield scope
            finally:
                self._open.pop(scope, None)

    def review(self) -> None:
        """Look at all of them again: the members are others."""
        for scope, (caller, grace_s) in tuple(self._open.items()):
            if not self.trusts(caller):
                del self._open[scope]
                scope.deadline = trio.current_time() + grace_s
