"""Commands become bytes and come back, or are refused before they can do harm."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Annotated, Any, Literal, NewType

import attrs
import msgpack
import pytest
from cattrs.preconf.msgpack import make_converter

from raft_actors.commands import RAW_BYTES, attrs_commands
from raft_actors.errors import ConfigurationError
from raft_actors.strict import forbid_coercion


class Colour(enum.IntEnum):
    RED = 1


class Size(enum.Enum):
    LARGE = "l"


@attrs.frozen
class Add:
    key: str
    amount: int = 1


@attrs.frozen
class Everything:
    text: str
    number: int
    real: float
    data: bytes
    flag: bool
    maybe: int | None
    many: tuple[int, ...]
    named: dict[str, int]
    colour: Colour
    size: Size


@attrs.frozen
class Reset:
    pass


EVERYTHING = Everything("t", 7, 0.5, b"d", True, None, (1, 2), {"a": 1}, Colour.RED, Size.LARGE)

# For each field, what cattrs would take on its own and turn into something else.
COERCED: list[tuple[str, Any]] = [
    ("text", 7),
    ("text", b"t"),
    ("number", "7"),
    ("number", 7.0),
    ("number", True),
    ("real", "0.5"),
    ("real", True),
    ("data", 7),  # stock cattrs makes this seven zero bytes
    ("data", [1, 2]),
    ("flag", 1),
    ("flag", "x"),
    ("maybe", "7"),
    ("many", ["1"]),
    ("named", {"a": "1"}),
    ("named", {1: 1}),
    ("colour", "1"),
    ("colour", 1.0),
]


def pack(value: object) -> bytes:
    data: Any = msgpack.packb(value)
    return bytes(data)


def test_raw_bytes_are_commands_as_they_are() -> None:
    assert RAW_BYTES.encode(b"x") == b"x"
    assert RAW_BYTES.decode(b"x") == b"x"
    with pytest.raises(TypeError, match="must be bytes, not str"):
        RAW_BYTES.encode("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_command_comes_back_as_it_was() -> None:
    codec = attrs_commands(Everything)
    assert codec.decode(codec.encode(EVERYTHING)) == EVERYTHING


@pytest.mark.parametrize("command", [Add("a"), Add("b", 7), Reset()], ids=repr)
def test_commands_of_a_union_are_told_apart(command: Any) -> None:
    codec = attrs_commands(Add | Reset)
    copy = codec.decode(codec.encode(command))
    assert copy == command
    assert type(copy) is type(command)


def test_a_whole_number_is_a_float() -> None:
    codec = attrs_commands(Everything)
    real = codec.decode(codec.encode(attrs.evolve(EVERYTHING, real=2))).real
    assert (real, type(real)) == (2.0, float)


@pytest.mark.parametrize(("field", "value"), COERCED, ids=repr)
def test_decoding_coerces_nothing(field: str, value: object) -> None:
    raw = {**make_converter().unstructure(EVERYTHING), field: value}
    with pytest.raises(ValueError, match="no command"):
        attrs_commands(Everything).decode(pack(raw))


@pytest.mark.parametrize(("field", "value"), [*COERCED, ("number", 2**64), ("text", "\ud800"), ("data", 1j)], ids=repr)
def test_a_command_that_could_not_be_decoded_is_not_encoded(field: str, value: Any) -> None:
    with pytest.raises(TypeError):
        attrs_commands(Everything).encode(attrs.evolve(EVERYTHING, **{field: value}))


def test_a_stranger_is_no_command() -> None:
    with pytest.raises(TypeError, match=r"Reset is no command .*it takes Add"):
        attrs_commands(Add).encode(Reset())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81" * 2_000,
        pack(1),
        pack({"key": "a", "amount": 1, "more": 1}),
        pack({"amount": 1}),
        pack({"key": "a", "$": "Nobody"}),
        pack({"key": "a"})[:-1],
    ],
    ids=repr,
)
@pytest.mark.parametrize("commands", [Add, Add | Reset], ids=str)
def test_noise_is_no_command(commands: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match="no command"):
        attrs_commands(commands).decode(data)


def holding(kind: Any) -> Any:
    """Make a command class with one field of this type."""
    return attrs.make_class("Holding", {"value": attrs.field(type=kind)}, frozen=True)


@attrs.frozen
class Inner:
    number: int


@attrs.frozen
class Outer(Inner):
    more: int = 0


@attrs.frozen
class Tree:
    branches: tuple[Tree, ...] = ()


Metres = NewType("Metres", int)
SUMMER = timezone(timedelta(hours=2))
# Half past two on the night when the clocks are set back, the second time.
TWICE = datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))

COMES_BACK: list[tuple[Any, Any]] = [
    (datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4, 5)),
    (datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4, 5, 123457, SUMMER)),
    (datetime.datetime, datetime.datetime(5138, 11, 16, 9, 46, 39, 123457, datetime.UTC)),
    (datetime.datetime, datetime.datetime.min),
    (datetime.datetime | None, None),
    (datetime.date, datetime.date(2026, 1, 2)),
    (datetime.time, datetime.time(3, 4, 5, 6)),
    (timedelta, timedelta(days=-1, microseconds=1)),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (uuid.UUID, uuid.UUID(int=7)),
    (pathlib.Path, pathlib.Path("/a")),
    (float, math.inf),
    (int | str, "7"),
    (int | float, 1),
    (str | bytes, b"a"),
    (Literal["a", 1], 1),
    (Literal[Size.LARGE], Size.LARGE),
    (Metres, 3),
    (Annotated[int, "metres"], 3),
    (set[str], {"a"}),
    (frozenset[int], frozenset({1})),
    (dict[int, str], {1: "a", 0: "b"}),
    (dict[Size, int], {Size.LARGE: 1}),
    (Any, {"a": [1, None, b"b", 0.5]}),
    (Inner, Inner(1)),
    (Tree, Tree((Tree(), Tree((Tree(),))))),
]

# What would come back as something else.
CHANGES: list[tuple[Any, Any]] = [
    (datetime.date, datetime.datetime(2026, 1, 2, 23, 30, tzinfo=SUMMER)),
    (list[str], "abc"),
    (list[str], {"k": 1}),
    (list[int], (1, 2)),
    (tuple[int, ...], [1, 2]),
    (set[int], frozenset({1})),
    (bytes, bytearray(b"x")),
    (int, Colour.RED),
    (float, 2**60 + 1),
    (Literal[1], True),
    (Literal[1], 1.0),
    (Inner, Outer(1, 2)),
    (Any, (1, 2)),
    (Any, Inner(1)),
    (Any, [{"a": (1,)}]),
    (dict[str, list[int]], {"a": (1,)}),
]

NEVER_TRAVELS = [complex, fractions.Fraction, dict[tuple[int, int], str], Mapping[Inner, int], list[complex]]


@pytest.mark.parametrize(("kind", "value"), COMES_BACK, ids=repr)
def test_a_value_comes_back_as_it_was(kind: Any, value: Any) -> None:
    command = holding(kind)(value)
    codec = attrs_commands(type(command))
    back = codec.decode(codec.encode(command))
    assert repr(back) == repr(command)


def test_a_time_that_the_clock_shows_twice_comes_back_at_its_offset() -> None:
    command = holding(datetime.datetime)(TWICE)
    codec = attrs_commands(type(command))
    back = codec.decode(codec.encode(command)).value
    assert back.isoformat() == TWICE.isoformat() == "2026-10-25T02:30:00+01:00"


def test_not_a_number_comes_back() -> None:
    command = holding(float)(math.nan)
    codec = attrs_commands(type(command))
    assert math.isnan(codec.decode(codec.encode(command)).value)


@pytest.mark.parametrize(("kind", "value"), CHANGES, ids=repr)
def test_a_value_that_would_come_back_as_another_is_refused_by_its_field(kind: Any, value: Any) -> None:
    command = holding(kind)(value)
    with pytest.raises(TypeError, match=r"field 'value' of Holding \(declared "):
        attrs_commands(type(command)).encode(command)


def test_a_field_of_a_field_is_named_too() -> None:
    command = holding(Inner)(Inner("7"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        TypeError, match=r"field 'value' of Holding: field 'number' of Inner \(declared int\) holds '7'"
    ):
        attrs_commands(type(command)).encode(command)


@pytest.mark.parametrize("kind", NEVER_TRAVELS, ids=repr)
def test_a_type_that_can_never_travel_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Holding\.value: .*set StateMachine\.commands"):
        attrs_commands(holding(kind))


def test_annotations_that_name_nothing_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="annotations of Holding can't be resolved: name 'Nobody'"):
        attrs_commands(holding("Nobody"))


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (datetime.datetime, 1.5, datetime.datetime(1970, 1, 1, 0, 0, 1, 500_000, datetime.UTC)),
        (datetime.date, 86_400.0, datetime.date(1970, 1, 2)),
    ],
)
def test_dates_in_old_logs_are_read(kind: Any, raw: float, value: Any) -> None:
    assert attrs_commands(holding(kind)).decode(pack({"value": raw})).value == value


@pytest.mark.parametrize("commands", [int, Add | int, None, "Add"], ids=repr)
def test_commands_must_be_attrs_classes(commands: Any) -> None:
    with pytest.raises(ConfigurationError, match="no attrs class"):
        attrs_commands(commands)


def test_two_commands_of_one_name_are_refused() -> None:
    other = attrs.make_class("Add", ["x"])
    with pytest.raises(ConfigurationError, match="same class name"):
        attrs_commands(Add | other)


def test_strictness_reaches_subclasses() -> None:
    class Text(str):
        __slots__ = ()

    class Metres(float):
        __slots__ = ()

    converter = make_converter(detailed_validation=False)
    forbid_coercion(converter)
    assert type(converter.structure("a", Text)) is Text
    assert type(converter.structure(1, Metres)) is Metres
    for value, cls in ((1, Text), ("1", Metres), (True, Colour)):
        with pytest.raises(TypeError):
            converter.structure(value, cls)
