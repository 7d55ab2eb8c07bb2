"""State machines that tests can see into."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable

from raft_actors.state_machine import StateMachine


class Machine(StateMachine[bytes, str]):
    """Keeps all commands; its result says which one it was, and the command b"bad" fails."""

    def __init__(self, on_apply: Callable[[bytes], None] = lambda _: None) -> None:
        self.commands_applied: list[bytes] = []
        self.restores = 0
        self.on_apply = on_apply

    def apply(self, command: bytes) -> str:
        self.on_apply(command)
        if command == b"bad":
            raise ValueError("a bad command")
        self.commands_applied.append(command)
        return f"result of {command.decode()}"

    def snapshot(self) -> Iterable[bytes]:
        return [b",".join(self.commands_applied)]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.restores += 1
        data = b"".join([chunk async for chunk in chunks])
        self.commands_applied = data.split(b",") if data else []
