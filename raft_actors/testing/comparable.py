"""Results of commands in a form that can be kept and compared, whatever a state machine returns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import Any, TypeGuard

import attrs

_ATOMS = frozenset({int, str, bytes, bool, type(None)})


def comparable(value: object) -> Hashable:
    """A picture of a value that stays when the value changes: equal for equal values, and different for different
    ones as far as their parts can be told apart.

    Containers and attrs objects are taken apart, exceptions are their type and arguments, and other objects what
    `repr` says of them. Of objects whose `repr` is Python's own, which names an address, only the type counts.
    """
    kind = value.__class__
    if kind in _ATOMS:
        # True == 1, but a replica that answers one where others answer the other is worth knowing.
        return (value, "bool") if kind is bool else value
    if isinstance(value, BaseException):
        return (kind.__qualname__, *map(comparable, value.args))
    parts = _parts(value)
    if parts is not None:
        return (kind.__qualname__, *parts)
    if "object at 0x" in (text := repr(value)):
        return kind.__qualname__
    return (kind.__qualname__, text)


def _parts(value: object) -> Sequence[Hashable] | None:
    """The parts of a container or an attrs object, in an order that is the same for equal ones; None for others."""
    if _is_mapping(value):
        return sorted((repr(comparable(key)), repr(comparable(item))) for key, item in value.items())
    if _is_set(value):
        return sorted(repr(comparable(member)) for member in value)
    if _is_list(value):
        return [comparable(item) for item in value]
    kind = value.__class__
    if attrs.has(kind):
        return [comparable(getattr(value, field.name)) for field in attrs.fields(kind) if field.eq]
    return None


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_set(value: object) -> TypeGuard[Set[Any]]:
    return isinstance(value, Set)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)
