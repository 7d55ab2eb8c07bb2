"""A client's board with nodes that say what a test says, without a network or a clock."""

from __future__ import annotations

import math
from random import Random

import attrs

from raft_actors.client.board import Board, Line
from raft_actors.client.call import Call, Need
from raft_actors.node.client_messages import Ask, Notice, Tell, pack, refusal_body

MEMBERS = {"n1": "n1:1", "n2": "n2:1", "n3": "n3:1"}


@attrs.define(eq=False)
class World:
    """A board, its clock, and when it wants to be woken."""

    now: float = 0.0
    alarm: float = math.inf
    board: Board = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.board = Board(Random(1), lambda: self.now, self.set_alarm, lambda: None)

    def set_alarm(self, at: float) -> None:
        self.alarm = min(self.alarm, at)

    def line(self, node: str, address: str = "") -> Line:
        """A line that is not up yet."""
        address = address or f"{node}:1"
        line = self.board.lines[address] = Line(address, lambda: None)
        return line

    def up(self, node: str, leader: str | None = "n1", term: int = 1, *, address: str = "") -> Line:
        """A line to a node that says this."""
        line = self.board.lines.get(address or f"{node}:1") or self.line(node, address)
        self.says(line, node, leader, term)
        return line

    def says(
        self,
        line: Line,
        node: str,
        leader: str | None,
        term: int,
        members: dict[str, str] = MEMBERS,
        config: int = 1,
        most_bytes: int = 1000,
    ) -> None:
        notice = Notice(
            node_id=node,
            term=term,
            leader=leader,
            config=config,
            members=members,
            most_requests=3,
            most_bytes=most_bytes,
        )
        self.board.heard(line, pack(Tell.NOTICE, 0, notice.encode()))

    def ask(
        self, need: Need = Need.LEADER, body: bytes = b"x", deadline: float = 30.0, *, several: bool = False
    ) -> Call:
        ask = Ask.PROPOSE if need is Need.LEADER else Ask.READ
        call = Call(self.board, ask, body, bytes, need, self.now + deadline, several=several)
        self.board.submit(call)
        return call

    @staticmethod
    def place(call: Call) -> Line | None:
        """Where it is now. (A checker that has seen it nowhere would not believe that it has moved.)"""
        return call.line

    def refuse(self, call: Call, kind: str, **more: float | str | None) -> None:
        assert call.line is not None
        self.board.heard(call.line, pack(Tell.REFUSAL, call.number, refusal_body(kind, "so it says", **more)))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.alarm = math.inf
        self.board.tick()
