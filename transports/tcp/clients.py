"""Connections of clients, which are no members: only so many at a time, each served until it goes.

What a client asks for is the node's affair (`Endpoint.converse`); here is who it is, and that it costs no more memory
than it may. Its requests are bounded by the node, what it has sent of one by the frames' cap, and what all clients hold
by `client_memory`.
"""

from __future__ import annotations

import contextlib
from functools import partial

import attrs
import trio

from raft_actors.errors import Unreachable
from raft_actors.records import define
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.conversation import Caller
from raft_actors.transports.tcp.client_memory import ClientMemory
from raft_actors.transports.tcp.conversing import StreamConversation
from raft_actors.transports.wire.client_handshake import judge_client
from raft_actors.transports.wire.handshake import Answer, Hello, ProtocolRange, Verdict


@define(eq=False)
class Clients:
    """Those of one node.

    Attributes:
        most: how many may be served at a time.
        max_payload_bytes: the largest request.
        memory: room for what all of them hold.
        serving: how many are served now.
    """

    most: int
    max_payload_bytes: int
    memory: ClientMemory
    serving: int = attrs.field(default=0, init=False)

    def judge(self, hello: Hello, endpoint: Endpoint, protocol: ProtocolRange) -> Answer:
        """Whether to serve the client that says this hello."""
        answer = judge_client(hello, endpoint, protocol)
        if answer.verdict is Verdict.ACCEPTED and self.serving >= self.most:
            return Answer(
                Verdict.OTHER_REASON, protocol, f"{self.serving} clients are served already: ask another node"
            )
        return answer

    async def serve(self, stream: trio.abc.Stream, endpoint: Endpoint, caller: Caller) -> bool:
        """Serve a client whose hello was accepted, until it goes, or is given up (then False is returned) because it
        holds more memory than there is for it. The caller closes the stream.

        Raises:
            ProtocolError: what it said is not what a client may say.
        """
        if endpoint.converse is None:
            return True
        self.serving += 1
        try:
            with trio.CancelScope() as scope, self.memory.claim(scope) as claim:  # noqa: ASYNC912 - to converse is to wait
                hold = partial(self.memory.hold, claim)
                with contextlib.suppress(Unreachable):  # it is gone: nobody is left to be told
                    await endpoint.converse(StreamConversation(stream, self.max_payload_bytes, hold), caller)
        finally:
            self.serving -= 1
        return not claim.given_up
