"""The bound on what all clients together hold, and what a stream's conversation counts for it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from raft_actors.errors import ProtocolError
from raft_actors.transports.tcp.client_memory import ClientMemory
from raft_actors.transports.tcp.conversing import StreamConversation
from raft_actors.transports.wire.frames import pack_length


async def test_who_holds_most_is_given_up_until_the_rest_have_room() -> None:
    memory = ClientMemory(100)
    scopes = [trio.CancelScope() for _ in range(3)]
    with memory.claim(scopes[0]) as little, memory.claim(scopes[1]) as most, memory.claim(scopes[2]) as much:
        memory.hold(little, 10)
        memory.hold(most, 50)
        memory.hold(much, 40)
        assert not any(scope.cancel_called for scope in scopes)
        memory.hold(little, 1)
        assert [scope.cancel_called for scope in scopes] == [False, True, False]
        assert (memory.used, memory.given_up, most.given_up) == (51, 1, True)
        memory.hold(most, 1000)  # it is about to end
        memory.hold(much, 60)
        assert [scope.cancel_called for scope in scopes] == [False, True, True]
        memory.hold(little, 1000)  # alone, it may hold more
        assert (memory.used, memory.given_up) == (1011, 2)
        memory.hold(little, -1000)
        assert memory.used == 11
    assert memory.used == 0


async def test_a_conversation_counts_its_buffer_and_what_it_sends_and_keeps_little_of_both() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    held = 0

    def hold(size: int) -> None:
        nonlocal held
        held += size

    conversation = StreamConversation(theirs, 1_000_000, hold)
    await ours.send_all(pack_length(900_000) + bytes(500_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.receive)
        await trio.testing.wait_all_tasks_blocked()
        assert 400_000 < held < 2_000_000
        await ours.send_all(bytes(400_000))
    await ours.send_all(pack_length(1) + b"x")
    assert await conversation.receive() == [b"x"]
    assert held == 0
    seen: list[int] = []

    async def note() -> None:
        seen.append(held)

    theirs.send_stream.send_all_hook = note
    await conversation.send([bytes(100_000)])
    await conversation.send([b"little"])
    assert (seen, held) == ([100_004, 0], 0)
    await ours.send_all(pack_length(2_000_000))
    with pytest.raises(ProtocolError):
        await conversation.receive()
