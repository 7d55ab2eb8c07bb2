"""The state machine against a plain dictionary, its snapshots, and the cursor's promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from itertools import accumulate, pairwise

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raft_actors.service.keyvalue import BUCKETS, NOT_AN_INTEGER, KeyValue
from raft_actors.service.operations import (
    HIGHEST_INTEGER,
    LOWEST_INTEGER,
    MAX_VALUE_BYTES,
    Operation,
    SetOption,
    decode,
    describe,
    many,
    operation,
    parse_integer,
    pipeline,
    set_value,
    transaction,
)
from raft_actors.service.packing import pack
from raft_actors.service.replies import OK, ErrorReply, SimpleString

keys = st.sampled_from([b"", b"a", b"b", b"c", b"key:7", b"\x00\xff"])
numbers = st.one_of(
    st.integers(-3, 3), st.sampled_from([LOWEST_INTEGER, LOWEST_INTEGER + 1, HIGHEST_INTEGER, HIGHEST_INTEGER - 1])
)
values = st.one_of(
    st.binary(max_size=5), numbers.map(lambda number: b"%d" % number), st.sampled_from([b"01", b"+1", b" 1"])
)
options = st.sampled_from([0, 1, 2, 4, 5, 6]).map(SetOption)

commands = st.one_of(
    st.builds(set_value, keys, values),
    st.builds(
        lambda key, value, option: operation(Operation.SET_WITH_OPTIONS, key, value, option), keys, values, options
    ),
    st.builds(lambda key, value: operation(Operation.SET_IF_ABSENT, key, value), keys, values),
    st.builds(
        lambda pairs: many(Operation.SET_MANY, [item for pair in pairs for item in pair]),
        st.lists(st.tuples(keys, values), min_size=1, max_size=4),
    ),
    st.builds(lambda names: many(Operation.DELETE, names), st.lists(keys, min_size=1, max_size=4)),
    st.builds(lambda key, number: operation(Operation.INCREMENT, key, number), keys, numbers),
    st.builds(lambda key, value: operation(Operation.APPEND, key, value), keys, values),
    st.just(operation(Operation.CLEAR)),
    *(st.builds(partial(operation, number), keys) for number in (Operation.GET, Operation.LENGTH, Operation.TYPE)),
    *(
        st.builds(partial(many, number), st.lists(keys, min_size=1, max_size=4))
        for number in (Operation.GET_MANY, Operation.EXISTS)
    ),
    st.just(operation(Operation.COUNT_KEYS)),
)
commands = st.one_of(commands, *(st.builds(whole, st.lists(commands, max_size=6)) for whole in (transaction, pipeline)))


def contents(machine: KeyValue) -> dict[bytes, bytes | None]:
    return {key: machine.get(key) for key in machine.list_keys()}


def model_apply(state: dict[bytes, bytes], command: bytes) -> object:
    """What a command does, said once more in the plainest way."""
    number, *arguments = decode(command)
    key = arguments[0] if arguments else b""
    old = state.get(key)
    match Operation(number):
        case Operation.SET:
            state[key] = arguments[1]
            return OK
        case Operation.SET_WITH_OPTIONS:
            wanted = SetOption(arguments[2])
            done = not (
                (SetOption.IF_ABSENT in wanted and old is not None) or (SetOption.IF_PRESENT in wanted and old is None)
            )
            if done:
                state[key] = arguments[1]
            return old if SetOption.RETURN_OLD in wanted else OK if done else None
        case Operation.SET_IF_ABSENT:
            state.setdefault(key, arguments[1])
            return int(old is None)
        case Operation.SET_MANY:
            state.update(zip(arguments[::2], arguments[1::2], strict=True))
            return OK
        case Operation.DELETE:
            return len([state.pop(name) for name in dict.fromkeys(arguments) if name in state])
        case Operation.INCREMENT:
            try:
                total = (0 if old is None else int(old)) + arguments[1]
            except ValueError:
                return NOT_AN_INTEGER
            if old is not None and (b"%d" % int(old) != old or not -(2**63) <= int(old) < 2**63):
                return NOT_AN_INTEGER
            if not -(2**63) <= total < 2**63:
                return ErrorReply("ERR increment or decrement would overflow")
            state[key] = b"%d" % total
            return total
        case Operation.APPEND:
            state[key] = (old or b"") + arguments[1]
            return len(state[key])
        case Operation.CLEAR:
            state.clear()
            return OK
        case Operation.GET:
            return old
        case Operation.GET_MANY:
            return [state.get(name) for name in arguments]
        case Operation.EXISTS:
            return len([name for name in arguments if name in state])
        case Operation.LENGTH:
            return len(old or b"")
        case Operation.TYPE:
            return SimpleString("none" if old is None else "string")
        case Operation.COUNT_KEYS:
            return len(state)
        case Operation.TRANSACTION | Operation.PIPELINE:
            return [model_apply(state, one) for one in arguments]
        case _:
            raise AssertionError(f"{describe(command)}: test_expiry.py has a model of it")


@example(
    [
        set_value(b"", b"1"),
        operation(Operation.APPEND, b"", b"9223372036854775807"),
        operation(Operation.INCREMENT, b"", 0),
    ]
)
@given(st.lists(commands, max_size=30))
def test_behaves_as_a_dictionary(sequence: list[bytes]) -> None:
    machine, model = KeyValue(), dict[bytes, bytes]()
    for command in sequence:
        assert machine.apply(command) == model_apply(model, command)
        assert contents(machine) == model
        assert len(machine) == len(model)


class Cut:
    """The chunks' bytes, cut into pieces of other sizes, as an asynchronous iterator."""

    def __init__(self, chunks: Iterable[bytes], sizes: Sequence[int]) -> None:
        data = b"".join(chunks)
        edges = [0, *accumulate(sizes), len(data)]
        self._pieces = iter([data[a:b] for a, b in pairwise(edges)])

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


@given(st.lists(commands, max_size=20), st.lists(commands, max_size=20), st.lists(st.integers(0, 50), max_size=10))
def test_a_snapshot_is_the_state_at_its_call_whatever_is_applied_while_it_is_drawn(
    before: list[bytes], during: list[bytes], sizes: list[int]
) -> None:
    machine, copy = KeyValue(), KeyValue()
    for command in before:
        machine.apply(command)
    expected = contents(machine)
    chunks = iter(machine.snapshot())
    drawn = [chunk for command in during if machine.apply(command) is not None and (chunk := next(chunks, b""))]
    copy.apply(set_value(b"left over", b"from before"))
    trio.run(copy.restore, Cut([*drawn, *chunks], sizes))
    assert contents(copy) == expected


@settings(max_examples=10)
@given(st.integers(65_530, 65_545), st.integers(0, 2))
def test_large_values_in_snapshots(size: int, others: int) -> None:
    machine, copy = KeyValue(), KeyValue()
    machine.apply(set_value(b"large", b"x" * size))
    for number in range(others):
        machine.apply(set_value(b"%d" % number, b"y" * size * 2))
    chunks = list(machine.snapshot())
    trio.run(copy.restore, Cut(chunks, [1000] * 50))
    assert contents(copy) == contents(machine)


def test_a_snapshot_is_drawn_lazily_and_large_values_are_not_copied() -> None:
    machine = KeyValue()
    large = b"x" * 1_000_000
    machine.apply(set_value(b"large", large))
    for number in range(20_000):
        machine.apply(set_value(b"key:%d" % number, b"v" * 100))
    stored = machine.get(b"large")
    sizes, found = [], 0
    for chunk in machine.snapshot():
        found += chunk is stored
        sizes.append(0 if chunk is stored else len(chunk))
    assert found == 1
    assert len(sizes) > 10
    assert max(sizes) < 2 * 65_536


def snapshot_bytes() -> bytes:
    machine = KeyValue()
    for number in range(5):
        machine.apply(set_value(b"%d" % number, b"value"))
    return b"".join(machine.snapshot())


@pytest.mark.parametrize("length", range(len(snapshot_bytes())))
def test_a_snapshot_that_ends_early_is_refused_and_changes_nothing(length: int) -> None:
    machine = KeyValue()
    machine.apply(set_value(b"kept", b"1"))
    with pytest.raises(ValueError, match="snapshot"):
        trio.run(machine.restore, Cut([snapshot_bytes()[:length]], []))
    assert contents(machine) == {b"kept": b"1"}


@pytest.mark.parametrize("data", [pack("other") + pack(0), pack([1, 2]), snapshot_bytes() + pack(b"more"), b"\xc1"])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        trio.run(KeyValue().restore, Cut([data], []))


@pytest.mark.parametrize(
    "command", [b"", b"\xc1", pack([]), pack(7), pack([len(Operation)]), pack([-1]), pack(["SET"]), b"\x93"]
)
def test_what_is_no_command_is_refused(command: bytes) -> None:
    machine = KeyValue()
    with pytest.raises(ValueError, match="no key-value command"):
        machine.apply(command)


def test_append_is_bounded() -> None:
    machine = KeyValue()
    machine.apply(set_value(b"k", b"x" * (MAX_VALUE_BYTES - 1)))
    assert machine.apply(operation(Operation.APPEND, b"k", b"12")) == ErrorReply(
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    )
    assert machine.apply(operation(Operation.APPEND, b"k", b"1")) == MAX_VALUE_BYTES


def test_what_a_transaction_appends_is_bounded() -> None:
    machine = KeyValue()
    machine.apply(set_value(b"k", b"x" * (MAX_VALUE_BYTES // 2 - 10)))
    append = operation(Operation.APPEND, b"k", b"1")
    replies = machine.apply(transaction([append, append, append, operation(Operation.LENGTH, b"k")]))
    assert replies == [
        *(MAX_VALUE_BYTES // 2 - 9, MAX_VALUE_BYTES // 2 - 8),
        ErrorReply("ERR the values that APPEND makes in one transaction may have 67108864 bytes together"),
        MAX_VALUE_BYTES // 2 - 8,
    ]


@pytest.mark.parametrize("bad", [transaction([]), pack([len(Operation)]), b""])
def test_a_transaction_with_something_impossible_changes_nothing(bad: bytes) -> None:
    machine = KeyValue()
    with pytest.raises(ValueError, match="no key-value command"):
        machine.apply(transaction([set_value(b"k", b"v"), bad]))
    assert contents(machine) == {}


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"9223372036854775807", HIGHEST_INTEGER),
        (b"-9223372036854775808", LOWEST_INTEGER),
        (b"9223372036854775808", None),
        (b"-9223372036854775809", None),
        (b"10000000000000000000", None),
        (b"-0", None),
        (b"00", None),
        (b"+1", None),
        (b" 1", None),
        (b"1\n", None),
        (b"", None),
        (b"1.0", None),
        ("\u0661".encode(), None),
    ],
)
def test_integers(digits: bytes, number: int | None) -> None:
    assert parse_integer(digits) == number


def scan_all(machine: KeyValue, count: int, between: Iterable[bytes] = ()) -> list[bytes]:
    found, cursor, changes = list[bytes](), 0, iter(between)
    while True:
        cursor, some = machine.scan(cursor, count)
        found += some
        if not cursor:
            return found
        if change := next(changes, None):
            machine.apply(change)


@given(
    st.sets(st.integers(0, 500), max_size=60),
    st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), max_size=60),
    st.integers(1, 40),
)
def test_scan_returns_every_key_that_is_there_throughout(
    present: set[int], changes: list[tuple[bool, int]], count: int
) -> None:
    machine = KeyValue()
    for number in present:
        machine.apply(set_value(b"%d" % number, b""))
    between = [
        set_value(b"%d" % number, b"") if add else many(Operation.DELETE, [b"%d" % number]) for add, number in changes
    ]
    removed = {number for add, number in changes if not add}
    found = scan_all(machine, count, between)
    assert {b"%d" % number for number in present - removed} <= set(found)
    assert len(found) == len(set(found)) or changes


def test_scan_goes_on_where_it_was_after_a_restart() -> None:
    machine, other = KeyValue(), KeyValue()
    for number in range(1000):
        machine.apply(set_value(b"%d" % number, b""))
    cursor, found = machine.scan(0, 400)
    trio.run(other.restore, Cut(machine.snapshot(), []))
    rest = list(scan_from(other, cursor))
    assert sorted(found + rest) == sorted(machine.list_keys())


def scan_from(machine: KeyValue, cursor: int) -> Iterable[bytes]:
    while cursor:
        cursor, some = machine.scan(cursor, 10)
        yield from some


def test_scan_from_beyond_the_end_is_empty() -> None:
    machine = KeyValue()
    machine.apply(set_value(b"k", b"v"))
    assert machine.scan(BUCKETS + 5, 10) == (0, [])


def test_descriptions() -> None:
    assert describe(set_value(b"k", b"v\n")) == r"SET 'k' 'v\n'"
    assert describe(operation(Operation.INCREMENT, b"k", -5)) == "INCREMENT 'k' -5"
    assert describe(operation(Operation.CLEAR)) == "CLEAR"
    assert describe(set_value(b"k", b"v" * 1000)) == f"SET 'k' '{'v' * 60}'… (1,000 bytes)"
    assert describe(many(Operation.DELETE, [b"k"] * 12)).endswith("… (12 arguments)")
    both = transaction([set_value(b"k", b"v"), operation(Operation.GET, b"k")])
    assert describe(both) == "TRANSACTION [SET 'k' 'v'] [GET 'k']"
    assert describe(transaction([operation(Operation.GET, b"k")] * 12)).endswith("… (12 commands)")


@pytest.mark.parametrize(
    "command",
    [
        pack((len(Operation), b"key")),
        pack((1000,)),
        pack((int(Operation.SET_WITH_OPTIONS), b"key", b"value", 16)),
        pack((int(Operation.EXPIRE), b"key", 10, 16)),
        pack((int(Operation.TRANSACTION), set_value(b"key", b"value"), pack((len(Operation), b"key")))),
    ],
    ids=["the next operation", "a far one", "an option", "an option of EXPIRE", "in a transaction"],
)
def test_what_a_later_version_may_know_ends_the_node_and_changes_nothing(command: bytes) -> None:
    """Replicas of that version carry it out: taken for the command's outcome, this one would part ways with them."""
    machine = KeyValue()
    with pytest.raises(machine.fatal_errors, match="of a later version"):
        machine.apply(command)
    assert len(machine) == 0
    with pytest.raises(ValueError, match="no key-value command") as refused:
        machine.apply(b"nonsense")
    assert not isinstance(refused.value, machine.fatal_errors)
