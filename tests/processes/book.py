"""The book of what clients were told, held against what the cluster then holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs


@attrs.define(eq=False)
class Book:
    """What clients were told.

    A client makes its next note only when it knows the outcome of the one before, or gives that up as unknown. Some
    clients make a note of unknown outcome once more. So of each note is known how often it may have been applied.

    Attributes:
        acks: of each client, the numbers that were acknowledged.
        unknowns: of each note, how many of its proposals ended without a known outcome.
        errors: how often each error was an outcome.
    """

    acks: dict[str, list[int]] = attrs.field(factory=dict)
    unknowns: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    errors: Counter[str] = attrs.field(factory=Counter)
    acknowledged: int = 0
    last_numbers: Counter[str] = attrs.field(factory=Counter)

    def note(self, event: dict[str, Any]) -> bool:
        """Write down an outcome; False where the event is none."""
        kind = event["event"]
        if kind not in ("ack", "unknown", "refused"):
            return False
        client, number = event["client"], event["number"]
        self.last_numbers[client] = number
        if kind == "ack":
            self.acks.setdefault(client, []).append(number)
            self.acknowledged += 1
        else:
            self.errors[event["error"]] += 1
        if kind == "unknown":
            self.unknowns[client, number] += 1
        return True

    def check(self, notes: dict[str, list[list[int]]]) -> None:
        """Hold a state, as `Ledger` has it, against the book."""
        applied = {client: _numbers(ranges) for client, ranges in notes.items()}
        for client, acks in self.acks.items():
            missing = set(acks) - set(applied.get(client, ()))
            assert not missing, f"{client} got acknowledgements of {sorted(missing)[:10]}, which are lost"
        for client, numbers in applied.items():
            assert numbers == sorted(numbers), f"notes of {client} were applied out of order: {notes[client]}"
            # One more than was reported may have been under way when its worker was killed, or told to rest.
            assert numbers[-1] <= self.last_numbers[client] + 1, f"{client} never made note {numbers[-1]}"
            for number, times in Counter(numbers).items():
                allowed = 1 + self.unknowns[client, number]
                assert times <= allowed, f"note {number} of {client} was applied {times} times, not {allowed} at most"


def _numbers(ranges: list[list[int]]) -> list[int]:
    return [number for first, length in ranges for number in range(first, first + length)]
