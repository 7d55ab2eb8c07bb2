"""More commands than were given: any log of an application's commands may come about, in any order, number and text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import attrs

from raft_actors.testing.state_machines.trial import Step

#: How far log time has gone on at each session's command: from at once to an hour.
_PAUSES_MS = (1, 40, 300, 2_000, 1, 15_000, 7, 100_000, 3_600_000)

#: What is appended to all text, and to all bytes: beyond ASCII, and what formats of files are often cut at.
_ENDINGS = (("é€", b"\xff\xfe"), (" \n\t,=", b"\x00\n"))


def with_time(steps: Iterable[Step]) -> list[Step]:
    """The same commands, two of three as a session's: log time comes before them."""
    timed: list[Step] = []
    now_ms = 0
    for number, step in enumerate(steps):
        if number % 3 == 2:
            timed.append(step)
            continue
        now_ms += _PAUSES_MS[len(timed) % len(_PAUSES_MS)]
        timed.append(Step(step.data, now_ms))
    return timed


def drawn(commands: Sequence[Any], count: int) -> list[Any]:
    """So many of the commands, drawn with the same result each time: first a run of those of one class, for what shows
    when a state has grown; then all in any order.
    """
    random = Random(0)
    one_kind = [command for command in commands if command.__class__ is commands[0].__class__]
    return random.choices(one_kind, k=count // 2) + random.choices(commands, k=count - count // 2)


def with_other_text(commands: Sequence[Any]) -> Iterable[tuple[str, list[Any]]]:
    """The commands with all text and bytes in them made longer, always alike: equal keys stay equal. With it, what was
    appended. Those that can't hold it are left out; commands that are bytes themselves have a form that is not known.
    """
    for text, data in _ENDINGS:
        changed: list[Any] = []
        for command in commands:
            if isinstance(command, bytes):
                continue
            try:
                other = _changed(command, text, data)
            except Exception:  # noqa: BLE001, S112 - whatever a user's class raises: such a command can't be made
                continue
            if other != command:
                changed.append(other)
        if changed:
            yield f"{text!r} or {data!r}", changed


def _changed(value: Any, text: str, data: bytes) -> Any:
    if type(value) is str:
        return value + text
    if type(value) is bytes:
        return value + data

    def change(part: Any) -> Any:
        return _changed(part, text, data)

    return _rebuilt(value, change)


def _rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    kind: Any = value.__class__
    several: list[Any] = [list, tuple, set, frozenset]
    if kind in several:
        return kind(map(change, value))
    if kind is dict:
        return {change(key): change(part) for key, part in value.items()}
    if attrs.has(kind):
        fields = [field for field in attrs.fields(kind) if field.init]
        return attrs.evolve(value, **{field.alias: change(getattr(value, field.name)) for field in fields})
    return value
