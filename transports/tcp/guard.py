"""Who may use a connection between nodes: anybody who says the right things, or who can prove them.

The guard here takes everybody at their word. `TlsGuard` is in a module of its own, for those who have certificates: a
node without any does not import what reads and judges them.
"""

from __future__ import annotations

import trio

from raft_actors.transports.conversation import Caller


class Guard:
    """Takes everybody at their word: the network has to be a trusted one."""

    async def secure_incoming(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """The stream to go on with, for a connection that was accepted. The caller sets a time limit.

        Raises:
            TlsFailure: it can't be secured.
            trio.BrokenResourceError: as it comes.
        """
        return stream

    async def secure_outgoing(self, stream: trio.abc.Stream, _peer: str) -> trio.abc.Stream:
        """The same for a connection to a peer: the other end is that peer, as far as this guard can know."""
        return stream

    def check_caller(self, _stream: trio.abc.Stream, _sender: str) -> None:
        """See that whoever opened the connection is the node that it says to be.

        Raises:
            TlsFailure: it is not.
        """

    def check_outsider(self, stream: trio.abc.Stream, name: str) -> Caller:
        """Who somebody is that is no peer, a client or an operator, and what it may do.

        Args:
            stream: over which it came.
            name: what it calls itself, or what it is called where it does not say.

        Raises:
            TlsFailure: it may do nothing.
        """
        return Caller(f"{name} at {getattr(stream, 'peer_host', '')}")
