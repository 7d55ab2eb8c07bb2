"""What may stand in a command: which types can travel as msgpack, and whether a value came back as it was sent.

A command is applied as its bytes say, on every replica and after every restart. A value that silently becomes another
one on the way (a tuple under `Any` becomes a list, a naive datetime an aware one) would be applied as something that
nobody proposed. So types that can never work are refused when the codec is made, and values when they are encoded.
"""

from __future__ import annotations

import collections
import collections.abc
import datetime
import decimal
import enum
import math
import pathlib
import types
import uuid
from functools import cache
from typing import Annotated, Any, Literal, NewType, Union, cast, get_args, get_origin

import attrs
import cattrs

_KEYS = (str, bytes, bool, int, float, datetime.date, datetime.time, decimal.Decimal, uuid.UUID, pathlib.Path)
_LEAVES = (*_KEYS, datetime.timedelta, types.NoneType)
_SEQUENCES = (list, tuple, set, frozenset, collections.deque)
_ABSTRACT_SEQUENCES = (
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.MutableSet,
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SAME_AS_EQUAL = frozenset({str, bytes, bool, int, types.NoneType})


def make_values_travel(converter: cattrs.Converter) -> None:
    """Have `converter` write dates, times and decimals so that they come back as they were.

    As text, where the library's own preset writes a float: that loses the time zone, and microseconds far from 1970.
    A float is still read, because logs written before hold some.
    """

    def read_datetime(value: Any, _cls: Any) -> datetime.datetime:
        if type(value) is str:
            return datetime.datetime.fromisoformat(value)
        return datetime.datetime.fromtimestamp(value, datetime.UTC)

    def read_date(value: Any, _cls: Any) -> datetime.date:
        if type(value) is str:
            return datetime.date.fromisoformat(value)
        return datetime.datetime.fromtimestamp(value, datetime.UTC).date()

    for kind in (datetime.datetime, datetime.date, datetime.time):
        converter.register_unstructure_hook(kind, lambda value: value.isoformat())
    converter.register_structure_hook(datetime.datetime, read_datetime)
    converter.register_structure_hook(datetime.date, read_date)
    converter.register_structure_hook(datetime.time, lambda value, _: datetime.time.fromisoformat(value))
    converter.register_unstructure_hook(
        datetime.timedelta, lambda value: [value.days, value.seconds, value.microseconds]
    )
    converter.register_structure_hook(datetime.timedelta, lambda value, _: datetime.timedelta(*value))
    converter.register_unstructure_hook(decimal.Decimal, str)
    converter.register_structure_hook(decimal.Decimal, lambda value, _: decimal.Decimal(value))
    converter.register_unstructure_hook(uuid.UUID, lambda value: value.bytes)
    converter.register_structure_hook(uuid.UUID, lambda value, _: uuid.UUID(bytes=value))
    converter.register_structure_hook_func(_is_literal, _read_literal)


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _read_literal(value: Any, kind: Any) -> Any:
    # Stock cattrs asks `in`, to which True and 1.0 are 1.
    for allowed in get_args(kind):
        plain = allowed.value if isinstance(allowed, enum.Enum) else allowed
        if type(plain) is type(value) and plain == value:
            return allowed
    raise TypeError(f"{value!r} is none of {get_args(kind)}")


# --- types -----------------------------------------------------------------------------------------------------


def why_it_cannot_travel(kind: Any, *, seen: frozenset[Any] = frozenset()) -> str | None:
    """Say why no value of this type can come back from its bytes as it was; None where values can."""
    kind = _without_wrapping(kind)
    if kind is Any or kind is object:
        return None  # what msgpack has of its own comes back; the rest is refused value by value
    origin: Any = get_origin(kind)
    arguments = get_args(kind)
    if origin is Literal:
        return _first(value for value in arguments if not isinstance(value, (*_KEYS, enum.Enum, types.NoneType)))
    if origin in (Union, types.UnionType):
        return _first_of_all(arguments, seen)
    if (origin or kind) in _MAPPINGS:
        return _why_no_mapping(arguments, seen)
    if (origin or kind) in (*_SEQUENCES, *_ABSTRACT_SEQUENCES):
        return _first_of_all([argument for argument in arguments if argument is not Ellipsis], seen)
    if isinstance(kind, type):
        return _why_no_class(kind, seen)
    return None  # a type variable, an alias, a form that is newer than this list: values decide


def _without_wrapping(kind: Any) -> Any:
    while True:
        origin: Any = get_origin(kind)
        if isinstance(kind, NewType):
            kind = kind.__supertype__
        elif origin is Annotated:
            kind = get_args(kind)[0]
        else:
            return kind


def _why_no_mapping(arguments: tuple[Any, ...], seen: frozenset[Any]) -> str | None:
    if not arguments:
        return None
    key, value = _without_wrapping(arguments[0]), arguments[1]
    if isinstance(key, type) and not issubclass(key, (*_KEYS, enum.Enum)) and key is not object:
        key = cast("type[Any]", key)
        return f"{_name(key)} can't be a mapping's key"
    if get_origin(key) in _SEQUENCES:
        return f"{key} can't be a mapping's key"
    return why_it_cannot_travel(value, seen=seen)


def _why_no_class(kind: type[Any], seen: frozenset[Any]) -> str | None:
    if attrs.has(kind):
        return None if kind in seen else why_no_fields(kind, seen=seen | {kind})
    if issubclass(kind, (*_LEAVES, enum.Enum)) or hasattr(kind, "__dataclass_fields__") or _is_typed_collection(kind):
        return None
    return f"{_name(kind)} has no form in msgpack"


def _is_typed_collection(kind: Any) -> bool:
    """Whether it is a TypedDict or a NamedTuple."""
    return hasattr(kind, "__total__") or (issubclass(kind, tuple) and hasattr(cast("Any", kind), "_fields"))


def why_no_fields(cls: type[Any], *, seen: frozenset[Any] = frozenset()) -> str | None:
    """Say which field of an attrs class can't travel, and why; None where all can."""
    try:
        attrs.resolve_types(cls)
    except NameError as error:
        return f"the annotations of {cls.__name__} can't be resolved: {error}"
    for field in attrs.fields(cls):
        reason = why_it_cannot_travel(field.type, seen=seen | {cls}) if field.init and field.type is not None else None
        if reason is not None:
            return f"{cls.__name__}.{field.name}: {reason}"
    return None


def _first_of_all(kinds: Any, seen: frozenset[Any]) -> str | None:
    return next((reason for kind in kinds if (reason := why_it_cannot_travel(kind, seen=seen)) is not None), None)


def _first(strange: Any) -> str | None:
    return next((f"{value!r} has no form in msgpack" for value in strange), None)


def _name(kind: type[Any]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# --- values ----------------------------------------------------------------------------------------------------


@cache
def _compared_fields(cls: Any) -> tuple[str, ...] | None:
    """Return the names of what is compared of an attrs class, None for another class. Cached: it runs per proposal."""
    if not attrs.has(cls):
        return None
    return tuple([field.name for field in attrs.fields(cls) if field.init or field.eq])


def is_same(sent: Any, back: Any) -> bool:
    """Whether `back` is what was sent: equal, of the same types all the way down, and at the same offset from UTC.

    One exception: a whole number in a field declared `float` comes back as that float.
    """
    kind: Any = sent.__class__
    if kind is not back.__class__:
        return kind is int and type(back) is float and bool(sent == back)
    if kind in _SAME_AS_EQUAL:
        return bool(sent == back)
    if kind is float:
        return bool(sent == back) or (math.isnan(sent) and math.isnan(back))
    names = _compared_fields(kind)
    if names is None:
        return _is_same_object(sent, back)
    for name in names:  # noqa: SIM110 - a generator costs as much as the comparing
        if not is_same(getattr(sent, name), getattr(back, name)):
            return False
    return True


def _is_same_object(sent: Any, back: Any) -> bool:
    kind: Any = sent.__class__
    if issubclass(kind, (list, tuple, collections.deque)):
        return len(sent) == len(back) and all(map(is_same, sent, back))
    if issubclass(kind, dict):
        # In order: a state machine that iterates must see on every replica what its proposer wrote.
        return len(sent) == len(back) and all(map(is_same, sent.items(), back.items()))
    if issubclass(kind, (set, frozenset)):
        return {(type(item), item) for item in sent} == {(type(item), item) for item in back}
    if issubclass(kind, (datetime.datetime, datetime.time)):
        # Field by field: in the hour that a clock is set back, an aware datetime equals none of another time zone.
        plain: bool = sent.replace(tzinfo=None, fold=0) == back.replace(tzinfo=None, fold=0)
        return plain and sent.utcoffset() == back.utcoffset()
    return bool(sent == back) and str(sent) == str(back)  # Decimal("1.0") equals Decimal("1.00")


def changed_field(command: Any, back: Any) -> str | None:
    """Name the first field of an attrs instance that did not come back as it was, with what it became."""
    cls: Any = command.__class__
    for field in attrs.fields(cls):
        sent, got = getattr(command, field.name), getattr(back, field.name)
        if (field.init or field.eq) and not is_same(sent, got):
            return (
                f"field {field.name!r} of {type(command).__name__} (declared {_declared(field.type)}) holds "
                f"{_short(sent)}, which would come back as {_short(got)}"
            )
    return None


def field_that_fails(command: Any, converter: Any) -> str | None:
    """Name the first field of an attrs instance whose value alone can't be written and read."""
    cls: Any = command.__class__
    for field in attrs.fields(cls):
        value = getattr(command, field.name)
        kind = field.type if field.type is not None else Any
        try:
            converter.loads(converter.dumps(value, unstructure_as=kind), kind, strict_map_key=False)
        except Exception as error:  # noqa: BLE001 - cattrs and msgpack raise whatever the value provokes
            inner = field_that_fails(value, converter) if attrs.has(value.__class__) else None
            place = f"field {field.name!r} of {type(command).__name__}"
            if inner is not None:
                return f"{place}: {inner}"
            return (
                f"{place} (declared {_declared(field.type)}) holds {_short(value)}, which can't be encoded: {error!r}"
            )
    return None


def _declared(kind: Any) -> str:
    return _name(kind) if isinstance(kind, type) and get_origin(kind) is None else str(kind)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
