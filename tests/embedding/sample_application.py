"""An application as one would write it under strict type checkers, with what they must conclude; see test_types.py."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable
from functools import partial
from typing import assert_type

import attrs
import trio
from typing_extensions import override

from raft_actors import (
    AppliedCommand,
    AppliedSnapshot,
    ClusterConfig,
    CommandFailed,
    Node,
    NotLeader,
    PendingProposal,
    StateMachine,
    attrs_commands,
    open_node,
    run_node,
)
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import TcpTransport


@attrs.frozen
class Add:
    account: str
    amount: int


@attrs.frozen
class Close:
    account: str


class Accounts(StateMachine[Add | Close, int]):
    commands = attrs_commands(Add | Close)

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}

    @override
    def apply(self, command: Add | Close) -> int:
        match command:
            case Add(account, amount):
                self.balances[account] = balance = self.balances.get(account, 0) + amount
                return balance
            case Close(account):
                return self.balances.pop(account)

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.balances).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.balances = json.loads(b"".join([chunk async for chunk in chunks]))


async def deposit(node: Node[Accounts], account: str, amount: int) -> int:
    while True:
        try:
            return await node.propose(Add(account, amount))
        except NotLeader as refusal:
            await node.wait_leader_changed(refusal)


async def use(node: Node[Accounts]) -> None:
    assert_type(await node.propose(Close("alice")), int)
    assert_type(await node.propose_many([Add("alice", 5), Close("bob")]), list[int | CommandFailed])
    pending = node.propose_nowait(Add("alice", 5))
    assert_type(pending, PendingProposal[int])
    assert_type(await pending.wait(), int)
    assert_type(pending.result_nowait(), int)
    assert_type(await node.read(lambda accounts: sorted(accounts.balances.items())), list[tuple[str, int]])
    async with node.applied() as log:
        assert_type(await log.receive(), AppliedCommand[Add | Close] | AppliedSnapshot)


async def main(cluster: ClusterConfig) -> None:
    storage, transport = SqliteStorage("n1.db"), TcpTransport("127.0.0.1:7101")
    async with open_node("n1", cluster=cluster, state_machine=Accounts, storage=storage, transport=transport) as node:
        assert_type(node, Node[Accounts])
        await use(node)
    machine = Accounts()
    async with open_node("n1", cluster=cluster, state_machine=machine, storage=storage, transport=transport) as node:
        assert_type(node, Node[Accounts])
        assert_type(await deposit(node, "alice", 5), int)
    async with trio.open_nursery() as nursery:
        run = partial(run_node, "n1", cluster=cluster, state_machine=Accounts, storage=storage, transport=transport)
        started: Node[Accounts] = await nursery.start(run)
        await started.aclose()
