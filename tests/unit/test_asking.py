"""Asking a cluster for something: who is asked, and what is made of what they say."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from raft_actors.errors import ConfigurationError, ProtocolError, TransportError, Unreachable
from raft_actors.node.asking import Asked, OperationRefused, ask_cluster, decode, encode, member_in, opened
from raft_actors.node.forgetting import has_begun, has_forgotten, is_named
from raft_actors.persistence import MemoryStorage, StoreIdentity
from raft_actors.raft.newest import Newest


@attrs.define
class Nodes:
    """Nodes by address, each with what it replies, in turn; the last reply stays."""

    replies: dict[str, list[dict[str, Any] | Exception]]
    asked: list[str] = attrs.field(factory=list[str])
    requests: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])

    async def ask(self, address: str, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(address)
        self.requests.append(decode(request))
        replies = self.replies[address]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return encode(reply)


def not_leader(address: str | None = None) -> dict[str, Any]:
    return {"error": {"kind": "NotLeader", "text": "not the leader", "leader": None, "address": address}}


DONE = {"done": {"n": 1}}


async def test_the_request_says_what_and_where() -> None:
    nodes = Nodes({"a": [DONE]})
    assert await ask_cluster(nodes.ask, ["a"], "dance", cluster_id="orders", to="n2") == Asked({"n": 1}, "a")
    assert nodes.requests == [{"cluster": "orders", "do": "dance", "with": {"to": "n2"}}]


async def test_a_node_that_does_not_lead_names_the_one_to_ask() -> None:
    nodes = Nodes({"a": [not_leader("c")], "b": [DONE], "c": [DONE]})
    assert (await ask_cluster(nodes.ask, ["a", "b"], "dance")).address == "c"
    assert nodes.asked == ["a", "c"]


async def test_who_is_out_of_reach_is_passed_over() -> None:
    nodes = Nodes({"a": [Unreachable("nobody")], "b": [not_leader("a")], "c": [DONE]})
    assert (await ask_cluster(nodes.ask, ["a", "b", "c"], "dance")).address == "c"
    assert nodes.asked == ["a", "b", "c"]


async def test_two_nodes_that_take_each_other_for_the_leader_are_asked_once_a_round(
    autojump_clock: MockClock,
) -> None:
    nodes = Nodes({"a": [not_leader("b")], "b": [not_leader("a")]})
    with pytest.raises(TransportError, match="a: not the leader; b: not the leader"):
        await ask_cluster(nodes.ask, ["a"], "dance", patience_s=1.0)
    assert 2 * 10 <= len(nodes.asked) <= 2 * 12


async def test_an_election_is_waited_for(autojump_clock: MockClock) -> None:
    nodes = Nodes({"a": [not_leader(), not_leader(), DONE]})
    assert (await ask_cluster(nodes.ask, ["a"], "dance")).address == "a"


async def test_a_refusal_is_final_and_comes_as_it_is() -> None:
    nodes = Nodes({"a": [{"error": {"kind": "ChangeRefused", "text": "one is under way"}}], "b": [DONE]})
    with pytest.raises(OperationRefused, match=r"^one is under way$") as refused:
        await ask_cluster(nodes.ask, ["a", "b"], "dance")
    assert refused.value.kind == "ChangeRefused"
    assert nodes.asked == ["a"]


async def test_one_that_was_asked_alone_says_itself_what_is_wrong(autojump_clock: MockClock) -> None:
    nodes = Nodes({"a": [Unreachable("nobody answers at a")]})
    with pytest.raises(Unreachable, match=r"^nobody answers at a$"):
        await ask_cluster(nodes.ask, ["a"], "dance", patience_s=0.0)
    assert nodes.asked == ["a"]


async def test_somebody_must_be_named() -> None:
    with pytest.raises(ConfigurationError, match="give the address"):
        await ask_cluster(Nodes({}).ask, [], "dance")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"[" * 8_000, b"{", b"7"], ids=lambda data: repr(data[:4]))
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@pytest.mark.parametrize("reply", [{}, {"done": 1}, {"error": "no"}, {"error": {"kind": 1, "text": "x"}}], ids=str)
def test_what_is_no_reply_is_refused(reply: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        opened(encode(reply))


def test_a_later_version_may_say_more() -> None:
    assert opened(encode({"done": {}, "took_s": 1.5})) == {}
    with pytest.raises(OperationRefused):
        opened(encode({"error": {"kind": "New", "text": "why", "address": 7, "moon": "full"}}))


IDENTITY = StoreIdentity("orders", "d")
OF_ANOTHER_SHAPE: list[dict[str, Any]] = [
    {"config": 3, "config_term": members, "members": members, "initial_voters": members, "met": members}
    for members in (5, None, "d", ["d"], {"d": 5}, {"d": None}, {"d": ["voter"]}, {"d": {"role": 1, "incarnation": []}})
]


@pytest.mark.parametrize("reply", OF_ANOTHER_SHAPE, ids=str)
async def test_who_asks_before_it_is_a_member_survives_whatever_is_answered(reply: dict[str, Any]) -> None:
    """It is told at which address to ask, and not who answers there."""
    nodes = Nodes({"a": [{"done": reply}]})
    assert isinstance(member_in(reply, "d"), dict)
    assert member_in(reply, "e") == {}
    empty = await MemoryStorage().open(IDENTITY, tail_bytes=0)
    assert isinstance(await has_forgotten(empty, IDENTITY, nodes.ask, ["a"]), bool)
    assert not await is_named("store", IDENTITY, nodes.ask, ["a"], Newest(2, 1))
    assert has_begun(reply, "d")
