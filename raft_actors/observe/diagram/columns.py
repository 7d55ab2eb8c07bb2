"""Packs events into columns: what a page of tens of thousands of events needs to be small and quick to load.

The packed form is a JSON value:

    {"strings": ["n1", "AppendEntries", ...],          every text once; columns hold its position
     "kinds": ["start", "send", ...],                  in the order of their first event
     "time": [...], "serial": [...], "kind": [...],    one number an event; time in whole microseconds
     "tables": {"send": {"node": {"text": [...]}, "id": {"int": [...]}, ...}, ...}}

`time` and `serial` hold differences to the event before, and `kind` positions in `kinds`. Every kind has a table of its
other fields, with a row for each of its events. A column is one of

    {"int": [...]}     whole numbers, each as the difference to the one above it; null where an event lacks the field
    {"text": [...]}    positions in `strings`; -1 where an event lacks the field
    {"other": [...]}   any values, each as a list of one; 0 where an event lacks the field

The page takes this apart again in `script/trace.js`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.records import define

_MICROSECONDS = 1_000_000
_EXACT = 2**53  # whole numbers from here on would lose digits in JavaScript
_DEEPEST = 20  # levels of lists in lists: nobody reads on below
_ABSENT = object()

Event = Mapping[str, Any]


@define
class _Strings:
    """Every text once, numbered in the order of its first use."""

    positions: dict[str, int] = attrs.field(factory=dict[str, int])

    def position_of(self, text: str) -> int:
        return self.positions.setdefault(text, len(self.positions))


def pack(events: Iterable[Event]) -> dict[str, Any]:
    """The events in columns, ordered by time, and by serial number (`n`) within one.

    Times are kept to the microsecond, everything else as it is; whole numbers beyond 2**53, and values that JSON does
    not know, become text. An event without `n` is numbered by its place.

    Raises:
        ConfigurationError: an event has no time, no kind, or a serial number that is no whole number.
    """
    ordered = sorted((_checked(position, event) for position, event in enumerate(events)), key=lambda row: row[:2])
    strings = _Strings()
    kinds: dict[str, list[Event]] = {}
    for _, _, event in ordered:
        kinds.setdefault(event["kind"], []).append(event)
    positions = {kind: position for position, kind in enumerate(kinds)}
    return {
        "version": 1,
        "kinds": list(kinds),
        "time": _differences([time for time, _, _ in ordered]),
        "serial": _differences([serial for _, serial, _ in ordered]),
        "kind": [positions[event["kind"]] for _, _, event in ordered],
        "tables": {kind: _table(rows, strings) for kind, rows in kinds.items()},
        "strings": list(strings.positions),  # last: the tables have filled it
    }


def _checked(position: int, event: Event) -> tuple[int, int, Event]:
    """The event with its time in microseconds and its serial number."""
    time, serial = event.get("t"), event.get("n", position)
    if not isinstance(time, (int, float)) or isinstance(time, bool) or not math.isfinite(time):
        raise ConfigurationError(f"event {position} of the trace has no time: t={time!r}")
    if abs(time) * _MICROSECONDS >= _EXACT:
        raise ConfigurationError(f"event {position} of the trace has a time that no clock shows: t={time!r}")
    if not isinstance(serial, int) or isinstance(serial, bool) or abs(serial) >= _EXACT:
        raise ConfigurationError(f"event {position} of the trace has no serial number: n={serial!r}")
    if not isinstance(event.get("kind"), str):
        raise ConfigurationError(f"event {position} of the trace has no kind: kind={event.get('kind')!r}")
    return round(time * _MICROSECONDS), serial, event


def _differences(numbers: list[int]) -> list[int]:
    return [number - before for before, number in zip([0, *numbers], numbers, strict=False)]


def _table(rows: list[Event], strings: _Strings) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row if name not in ("t", "n", "kind"))
    return {name: _column([row.get(name, _ABSENT) for row in rows], strings) for name in names}


def _column(values: list[Any], strings: _Strings) -> dict[str, Any]:
    present = [value for value in values if value is not _ABSENT]
    if all(isinstance(value, str) for value in present):
        return {"text": [-1 if value is _ABSENT else strings.position_of(value) for value in values]}
    if all(isinstance(value, int) and not isinstance(value, bool) and abs(value) < _EXACT for value in present):
        differences = iter(_differences(present))
        return {"int": [None if value is _ABSENT else next(differences) for value in values]}
    return {"other": [0 if value is _ABSENT else [_plain(value)] for value in values]}


def _plain(value: object, depth: int = 0) -> object:
    """The value as JSON and JavaScript can have it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item, depth + 1) for item in cast("Iterable[object]", value)]
        return sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items
    if depth < _DEEPEST and isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(key): _plain(item, depth + 1) for key, item in pairs}
    return repr(value)
