"""How an application's commands become bytes and commands again."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar, get_args

import attrs
from cattrs.preconf.msgpack import MsgpackConverter, make_converter
from cattrs.strategies import configure_tagged_union

from raft_actors.command_values import changed_field, field_that_fails, is_same, make_values_travel, why_no_fields
from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen
from raft_actors.strict import forbid_coercion
from raft_actors.wording import text_of

T = TypeVar("T")


class CommandCodec(Protocol[T]):
    """Turns commands into bytes and back. `decode(encode(c))` must equal `c` on every node of the cluster."""

    def encode(self, command: T) -> bytes:
        """Return the command's bytes.

        Raises:
            TypeError: the value is no command of this state machine.
        """
        ...

    def decode(self, data: bytes) -> T:
        """Return the command that `data` encodes.

        Raises:
            ValueError: the bytes are no command of this state machine.
        """
        ...


class _RawBytes:
    """Commands are bytes already."""

    def encode(self, command: bytes) -> bytes:
        if type(command) is not bytes:
            raise TypeError(
                f"a command must be bytes, not {type(command).__name__}: set StateMachine.commands for others"
            )
        return command

    def decode(self, data: bytes) -> bytes:
        return data


RAW_BYTES: CommandCodec[bytes] = _RawBytes()
"""The codec of state machines whose commands are raw bytes."""


class _NoQueries:
    """Nothing is asked from afar."""

    def encode(self, command: Any) -> bytes:
        raise TypeError(
            f"{type(command).__name__} can't be asked from afar: set StateMachine.queries = attrs_queries(…)"
        )

    def decode(self, data: bytes) -> Any:
        raise ValueError("it has no queries: StateMachine.queries is not set")


NO_QUERIES: CommandCodec[Any] = _NoQueries()
"""The codec of state machines that only programs with a node of their own read from."""


@frozen
class _AttrsCommands(Generic[T]):
    """Commands are attrs classes; a class's name is its tag on the wire."""

    classes: tuple[type, ...]
    union: Any
    converter: MsgpackConverter
    noun: str = "command"

    def encode(self, command: T) -> bytes:
        if type(command) not in self.classes:
            names = ", ".join(cls.__name__ for cls in self.classes)
            raise TypeError(f"{type(command).__name__} is no {self.noun} of this state machine (it takes {names})")
        try:
            data = self.converter.dumps(command, unstructure_as=self.union)
            # A command that commits and then can't be decoded would stop every node, and again at each start; one that
            # is decoded as another would be applied as what nobody proposed.
            back = self.converter.loads(data, self.union, strict_map_key=False)
            same = is_same(command, back)
        except Exception as error:  # cattrs and msgpack raise whatever the values provoke
            culprit = field_that_fails(command, self.converter) or f"{command!r} can't be encoded: {error!r}"
            raise TypeError(culprit) from error
        if not same:
            raise TypeError(f"{changed_field(command, back)}: declare its type, or give the state machine a codec")
        return data

    def decode(self, data: bytes) -> T:
        try:
            command: T = self.converter.loads(data, self.union, strict_map_key=False)
        except Exception as error:  # cattrs and msgpack raise whatever the bytes provoke
            raise ValueError(f"no {self.noun} of this state machine: {text_of(error)}") from error
        return command


def attrs_commands(commands: Any) -> CommandCodec[Any]:
    """Make the codec for an attrs class or a union of attrs classes (`Add | Reset`), as msgpack.

    Classes are told apart by name, so renaming one, or removing a field without a default, breaks old logs.
    Values are taken strictly: a field declared `int` refuses "7", and what would come back as another value than was
    sent (a tuple where a list is declared, or an attrs instance under `Any`) is refused by `encode`, which names the
    field. Fields may be numbers, text, bytes, enums, dates and times, `Decimal`, `UUID`, paths, other attrs classes,
    and containers and unions of these; integers have 64 bits.

    Raises:
        ConfigurationError: one of them is no attrs class, two share a name, or a field is declared as what can't
            travel (a complex number, a mapping whose keys are tuples).
    """
    return _codec(commands, "command")


def attrs_queries(queries: Any) -> CommandCodec[Any]:
    """Make the codec for queries of a state machine, an attrs class or a union of such, as `attrs_commands` does.

        @attrs.frozen
        class Get:
            key: str
            def __call__(self, store: "Store") -> str | None:
                return store.values.get(self.key)

        class Store(StateMachine[Put, None]):
            queries = attrs_queries(Get)

    `await client.read(Get("a"))` is then of type `str | None`, as is `await node.read(Get("a"))`.

    Raises:
        ConfigurationError: as `attrs_commands`; or one of them can't be called.
    """
    for cls in get_args(queries) or (queries,):
        if not any("__call__" in vars(base) for base in getattr(cls, "__mro__", ())):
            raise ConfigurationError(f"{cls!r} is no query: it needs a method __call__(self, state_machine)")
    return _codec(queries, "query")


def _codec(commands: Any, noun: str) -> CommandCodec[Any]:
    classes = get_args(commands) or (commands,)
    for cls in classes:
        if not (isinstance(cls, type) and attrs.has(cls)):
            raise ConfigurationError(
                f"{cls!r} is no attrs class: attrs_commands takes attrs classes or a union of them"
            )
        reason = why_no_fields(cls)
        if reason is not None:
            raise ConfigurationError(f"{reason}: declare another type, or set StateMachine.commands to your own codec")
    if len({cls.__name__ for cls in classes}) != len(classes):
        plural = "commands" if noun == "command" else "queries"
        raise ConfigurationError(f"two {plural} of one state machine can't have the same class name")
    converter = make_converter(detailed_validation=False, forbid_extra_keys=True)
    forbid_coercion(converter)
    make_values_travel(converter)
    if len(classes) == 1:
        return _AttrsCommands(classes, classes[0], converter, noun)
    configure_tagged_union(commands, converter, tag_name="$")
    return _AttrsCommands(classes, commands, converter, noun)
