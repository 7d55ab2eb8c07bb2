"""Where callers of the service come from: a network of IPv6 is one address, and very many addresses do no harm."""

from __future__ import annotations

from typing import cast

import attrs
import pytest
import trio

from raft_actors.service.authentication import log_in
from raft_actors.service.connection import Context, ServiceConfig, Session
from raft_actors.service.door import Door
from raft_actors.service.users import PasswordHash, Rights, User
from raft_actors.transports.sockets.accepting import network_of
from raft_actors.transports.sockets.stream import TcpStream
from tests.service.support import ADDRESSES, LoneReplica


@attrs.frozen
class From:
    """As much of a connection as says where it comes from."""

    peer_host: str


async def test_a_network_of_ipv6_is_one_address_and_known_as_long_as_a_client_is_there() -> None:
    node = LoneReplica()
    config = ServiceConfig(addresses=ADDRESSES, max_connections=2, max_connections_per_address=1, max_connects_s=1e-9)
    door = Door(Context(node, node.machine, config))
    client, stream = Session(1), cast("TcpStream", From("2001:db8::1"))
    assert door.let_in(client, stream) is None
    assert door.let_in(Session(2), cast("TcpStream", From("2001:db8::2"))) == "MAX_CONNECTIONS_PER_ADDRESS"
    ours, other = network_of("2001:db8::2"), network_of("2001:db8:0:1::1")
    assert [door.budget.admits(network) for network in (ours, ours, other, other, other)] == 4 * [True] + [False]
    client.become(None)
    assert not door.budget.admits(ours)
    assert not list(door.budget.known())
    client.become(door.context.default_user())
    assert door.budget.admits(ours)
    assert list(door.budget.known()) == [ours]
    door.let_out(client, stream)
    assert not door.budget.admits(ours)


async def test_guesses_from_a_network_of_ipv6_are_those_of_one_address(inline: None, autojump_clock: object) -> None:
    node, took = LoneReplica(), list[float]()
    context = Context(node, node.machine, ServiceConfig(addresses=ADDRESSES))
    context.logins.users = {"admin": User("admin", Rights.ALL, PasswordHash.of(b"secret", cost=4))}
    for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        session, began = Session(1), trio.current_time()
        context.sessions[session] = cast("TcpStream", From(host))
        assert await log_in(context, session, b"admin", b"wrong") is not None
        assert session.user is not context.logins.users["admin"]
        took.append(trio.current_time() - began)
    assert took == pytest.approx([0.5, 1.0, 0.5])


async def test_rejections_from_very_many_addresses_fill_no_log(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    node = LoneReplica()
    door = Door(Context(node, node.machine, ServiceConfig(addresses=ADDRESSES)))
    for number in range(2000):
        door.reject(cast("TcpStream", From(f"2001:db8::{number:x}")), "NOT_TLS")
    assert door.context.statistics.rejected_by_cause == {"NOT_TLS": 2000}
    assert len(caplog.records) == 256
    await trio.sleep(10)
    door.reject(cast("TcpStream", From("2001:db8::ffff")), "NOT_TLS")
    assert "ffff, as all such from there: NOT_TLS (1,744 such lines before this one were left out" in caplog.text
