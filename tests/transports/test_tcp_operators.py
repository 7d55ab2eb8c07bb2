"""Requests of operators over streams in memory; the test plays one side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from raft_actors.errors import ProtocolError, Unreachable
from raft_actors.transports.conversation import Caller
from raft_actors.transports.tcp.operators import Operators, ask
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.operating import MAGIC, MAX_REPLY_BYTES, seal, unseal

Serve = Callable[[trio.abc.Stream], Awaitable[None]]
SOMEBODY = Caller("somebody")


async def echo(request: bytes, _caller: Caller) -> bytes:
    await trio.lowlevel.checkpoint()
    return request


def test_what_is_sealed_is_unsealed() -> None:
    assert unseal(seal(b"{}")) == b"{}"


@pytest.mark.parametrize("payload", [b"", b"RAOP", b"RAFT\0\1{}", b"HTTP/1.1 400"], ids=repr)
def test_what_is_no_reply(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="no node of raft_actors"):
        unseal(payload)


@pytest.mark.parametrize(("version", "side"), [(b"\0\2", "this side"), (b"\0\0", "the other side")], ids=repr)
def test_another_version_is_refused_with_the_side_that_is_older(version: bytes, side: str) -> None:
    with pytest.raises(ProtocolError, match=f"upgrade {side}"):
        unseal(MAGIC + version + b"{}")


@pytest.mark.parametrize("said", [b"", frame(seal(b"{}"))[:-1]], ids=["nothing", "half"])
async def test_a_node_that_hangs_up_was_lost(nursery: trio.Nursery, said: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def hang_up() -> None:
        await theirs.receive_some()
        await theirs.send_all(said)
        await theirs.aclose()

    nursery.start_soon(hang_up)
    with pytest.raises(Unreachable, match="without a reply"):
        await ask(ours, b"{}")


async def test_a_reply_that_is_too_long_is_refused_before_it_is_read(nursery: trio.Nursery) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all((MAX_REPLY_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(ProtocolError):
        await ask(ours, b"{}")


async def test_a_broken_connection_was_lost() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(Unreachable, match="broke"):
        await ask(ours, b"{}")


async def test_only_so_many_are_served_at_a_time(nursery: trio.Nursery) -> None:
    async def never(_request: bytes, _caller: Caller) -> bytes:
        await trio.sleep_forever()

    operators = Operators(never, reply_timeout_s=1.0)
    waiting = [trio.testing.memory_stream_pair() for _ in range(64)]
    for _, theirs in waiting:
        nursery.start_soon(operators.serve, theirs, seal(b"{}"), SOMEBODY)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ProtocolError, match="try again later"):
        await operators.serve(trio.testing.memory_stream_pair()[1], seal(b"{}"), SOMEBODY)
    for ours, _ in waiting:
        await ours.aclose()  # they give up
    await trio.testing.wait_all_tasks_blocked()
    assert operators.serving == 0


async def test_who_asks_and_does_not_read_is_given_up(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    _ours, theirs = trio.testing.lockstep_stream_pair()
    operators = Operators(echo, reply_timeout_s=5.0)
    begin = trio.current_time()
    await operators.serve(theirs, seal(b"{}"), SOMEBODY)
    assert trio.current_time() - begin == pytest.approx(5.0)
    assert operators.serving == 0
