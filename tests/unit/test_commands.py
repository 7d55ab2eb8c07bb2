"""Commands become bytes and come back, or are refused before they can do harm."""

from __future__ import annotations

import enum
from typing import Any

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
