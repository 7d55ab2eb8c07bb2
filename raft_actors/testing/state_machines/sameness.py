"""Whether two values are the same all the way down, for objects that define no equality too."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

import attrs

_ATOMS = frozenset({int, str, bytes, bool, type(None)})


def is_same(one: Any, other: Any, _compared: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether both are of the same types and values, taken apart as far as they can be.

    The order of a dict or set does not count: what depends on it shows in what a state machine answers.
    """
    kind: Any = one.__class__
    if kind is not other.__class__:
        return False
    if kind in _ATOMS:
        return bool(one == other)
    if kind is float:
        return bool(one == other) or (math.isnan(one) and math.isnan(other))
    pair = id(one), id(other)
    if one is other or pair in _compared:
        return True
    return _has_same_parts(one, other, kind, _compared | {pair})


def _has_same_parts(one: Any, other: Any, kind: Any, compared: frozenset[tuple[int, int]]) -> bool:
    if issubclass(kind, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key], compared) for key in one)
    if issubclass(kind, (list, tuple)):
        return len(one) == len(other) and all(is_same(a, b, compared) for a, b in zip(one, other, strict=True))
    if isinstance(one, BaseException):
        return is_same(one.args, other.args, compared)
    if isinstance(one, sqlite3.Connection):
        return _contents(one) == _contents(other)
    if kind.__eq__ is not object.__eq__ and not attrs.has(kind):
        return bool(one == other)
    return is_same(fields_of(one), fields_of(other), compared)


def _contents(database: Any) -> list[str] | None:
    """What a database holds, as the statements that would make it anew; None: it can't be told."""
    row_factory, text_factory = database.row_factory, database.text_factory
    database.row_factory, database.text_factory = None, str
    try:
        return list(database.iterdump())
    except Exception:  # noqa: BLE001 - closed, another thread's, or what no statement can say
        return None
    finally:
        database.row_factory, database.text_factory = row_factory, text_factory


def fields_of(value: Any) -> dict[str, Any]:
    """What an object holds in its `__dict__` and its slots."""
    fields = dict(getattr(value, "__dict__", {}))
    for cls in value.__class__.__mro__:
        slots: Any = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            attribute = f"_{cls.__name__.lstrip('_')}{name}" if private else name
            if attribute not in ("__dict__", "__weakref__") and hasattr(value, attribute):
                fields[attribute] = getattr(value, attribute)
    return fields
