"""Queries of a state machine, made up from what its commands hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from raft_actors.testing.state_machines.comparison import Query

#: So many values for each field.
_MOST = 4

_UNKNOWN: dict[type, Any] = {str: "?", int: 0, bytes: b"?", float: 0.5, bool: True}


def made_up_queries(codec: Any, commands: Iterable[Any]) -> list[Query]:
    """Some queries of each class that `attrs_queries` was given, about values that occur in the commands and one that
    does not. Left out: classes with a field of another type than text, bytes and numbers, and without a default.
    """
    values: dict[type, list[Any]] = {kind: [unknown] for kind, unknown in _UNKNOWN.items()}
    for part in _parts(list(commands)):
        known = values.get(part.__class__)
        if known is not None and part not in known and len(known) < _MOST:
            known.append(part)
    queries: list[Query] = []
    for kind in getattr(codec, "classes", ()):
        queries += _made_up(kind, values)
    return queries


def _parts(value: Any) -> Iterator[Any]:
    kind: Any = value.__class__
    if issubclass(kind, dict):
        yield from _parts([*value.keys(), *value.values()])
    elif issubclass(kind, list | tuple | set | frozenset):
        for part in value:
            yield from _parts(part)
    elif attrs.has(kind):
        yield from _parts([getattr(value, field.name) for field in attrs.fields(kind)])
    else:
        yield value


def _made_up(kind: Any, values: dict[type, list[Any]]) -> Iterator[Query]:
    attrs.resolve_types(kind)
    fields = [
        field for field in attrs.fields(kind) if field.init and (field.type in values or field.default is attrs.NOTHING)
    ]
    for number in range(_MOST if fields else 1):
        try:
            yield kind(**{field.alias: values[field.type][number % len(values[field.type])] for field in fields})
        except Exception:  # noqa: BLE001 - a type without values, or whatever a user's validator raises
            return
