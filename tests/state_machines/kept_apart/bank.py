"""Accounts of a bank, each kind with one mistake; `Bank` itself has none."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import AsyncIterable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from raft_actors import attrs_commands
from tests.state_machines.kept_apart.base import Json, broken, join, right


@attrs.frozen
class Deposit:
    account: str
    cents: int


@attrs.frozen
class Transfer:
    source: str
    target: str
    cents: int


BANK = [
    Deposit("ann", 1000),
    Deposit("bob", 550),
    Transfer("ann", "bob", 199),
    Transfer("ann", "eve", 10),
    Transfer("bob", "ann", 5000),
    Transfer("bob", "ann", 33),
    Deposit("cid", 7),
]


@right(BANK)
class Bank(Json):
    commands = attrs_commands(Deposit | Transfer)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Deposit):
            self.state[command.account] = self.state.get(command.account, 0) + command.cents
            return self.state[command.account]
        if self.state.get(command.source, 0) < command.cents:
            raise ValueError("not enough")
        if command.target not in self.state:
            raise KeyError(command.target)
        self.state[command.source] -= command.cents
        self.state[command.target] += command.cents
        return self.state[command.source]


@broken(BANK)
class HalfATransfer(Bank):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Deposit):
            return super().apply(command)
        if self.state.get(command.source, 0) < command.cents:
            raise ValueError("not enough")
        self.state[command.source] -= command.cents
        self.state[command.target] += command.cents  # KeyError where there is no such account
        return self.state[command.source]


@broken(BANK)
class ClassAttribute(Bank):
    state: Any = {}  # noqa: RUF012 - the mistake

    def __init__(self) -> None:
        pass


@broken(BANK)
class DefaultArgument(Bank):
    def __init__(self, accounts: Any = {}) -> None:  # noqa: B006 - the mistake
        self.state: Any = accounts


@broken(BANK)
class DecimalThroughFloat(Bank):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Deposit):
            self.state[command.account] = self.state.get(command.account, Decimal(0)) + Decimal(command.cents) / 7
            return str(self.state[command.account])
        return None

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps({k: float(v) for k, v in self.state.items()}).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = {k: Decimal(v) for k, v in json.loads(await join(chunks)).items()}


@broken(BANK)
class SumsFloatsInOrder(Bank):
    """Interest: the sum of floats depends on the order, which a sorted snapshot loses."""

    def apply(self, command: Any) -> Any:
        if isinstance(command, Deposit):
            self.state[command.account] = self.state.get(command.account, 0.0) + command.cents / 3
        total = 0.0
        for value in self.state.values():  # `sum` makes up for what rounding loses, from Python 3.12 on
            total += value
        return total

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.state, sort_keys=True).encode()]


@broken(BANK)
class LimitFromEnvironment(Bank):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Deposit) and command.cents > int(os.environ.get("MAX_DEPOSIT", "100000")):
            raise ValueError("too much")
        return super().apply(command)


@broken(BANK)
class RatesFromFile(Bank):
    def apply(self, command: Any) -> Any:
        try:
            rate = json.loads(Path(__file__).with_name("rates.json").read_text())["rate"]
        except FileNotFoundError:
            rate = 1
        if isinstance(command, Deposit):
            command = attrs.evolve(command, cents=command.cents * rate)
        return super().apply(command)


@broken(BANK)
class CachedBalance(Bank):
    @functools.cache  # noqa: B019 - the mistake
    def fee(self, account: Any) -> Any:
        return 1 if self.state.get(account, 0) > 1000 else 2

    def apply(self, command: Any) -> Any:
        r = super().apply(command)
        return (r, self.fee(command.account if isinstance(command, Deposit) else command.source))
