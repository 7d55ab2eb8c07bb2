"""Every parser of bytes from elsewhere keeps its promises, on inputs that are kept and on thousands of others."""

from __future__ import annotations

import random
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import attrs
import pytest

from raft_actors.client.board import Board
from raft_actors.errors import ProtocolError
from raft_actors.node.serving import _ServedClient
from raft_actors.persistence.sqlite.store_row import StoreRow
from raft_actors.raft.roles import Leader
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.snapshots import encode_snapshot
from raft_actors.transports.sockets.addresses import Address
from raft_actors.transports.tls.naming import NameRule
from tests.fuzz import guided, mutating
from tests.fuzz.fuzzing import CORPUS, corpus, fuzz, inputs, run_for, try_memory, try_one
from tests.fuzz.mutating import _CHANGES, _NOTABLE, Change
from tests.fuzz.novelty import Novelty
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str) -> None:
    _, findings = fuzz(TARGETS[name], corpus(name), seed=1, count=TARGETS[name].inputs_in_test)
    assert findings == []


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_takes_no_more_memory_than_it_may(name: str) -> None:
    found = [try_memory(TARGETS[name], data) for data in [*TARGETS[name].seeds, *corpus(name)]]
    assert [finding for finding in found if finding is not None] == []


def test_seeds_are_in_order() -> None:
    for name, target in TARGETS.items():
        errors: list[Exception | None] = []
        if name != "handshake":  # of which a seed is only the beginning
            heard = partial(_note, errors)
            assert fuzz(target, [], seed=1, count=1, heard=heard) == (1, [])
            assert errors == [None], name


def _note(errors: list[Exception | None], _data: bytes, error: Exception | None) -> None:
    errors.append(error)


def test_every_file_of_the_corpus_is_a_targets() -> None:
    assert {path.stem for path in CORPUS.glob("*.txt")} <= set(TARGETS)


def test_what_breaks_a_promise_is_found() -> None:
    def careless(data: bytes) -> object:
        if data[:1] == b"\xff":
            raise KeyError("oops")
        if data[:1] == b"\xfe":
            return bytes(50_000_000)
        raise ProtocolError("as promised")

    target = Target(careless, (ProtocolError,), (b"\0 seed",))
    assert try_one(target, b"x") is None
    finding = try_one(target, b"\xff")
    assert finding is not None
    assert "KeyError: 'oops'" in finding.what
    finding = try_memory(target, b"\xfe")
    assert finding is not None
    assert "bytes of memory" in finding.what
    done, findings = fuzz(target, [], seed=1, count=3000)
    assert findings
    assert done < 3000


def _leave_out(machine: KeyValue) -> Iterable[bytes]:
    """A snapshot without what a client has added."""
    buckets = [{key: bucket[key] for key in bucket if key in (b"a", b"b", b"c")} for bucket in machine._buckets]
    return encode_snapshot(buckets, machine.deadlines.now_ms, {})


def _refuse_too_late(machine: KeyValue, *_arguments: Any) -> Any:
    machine.pass_time(2**40)
    raise ValueError("refused, after the fact")


def _end(_leader: Leader, _inputs: object, _now: float) -> Any:
    raise KeyError("a leader ends")


_columns = StoreRow.columns


def _one_chunk_more(row: StoreRow) -> dict[str, object]:
    return _columns(row) | {"snapshot_chunks": row.snapshot_chunks + 1}


PLANTED: dict[str, tuple[type, str, Any, str]] = {
    "redis": (KeyValue, "snapshot", _leave_out, "a snapshot of it is another state"),
    "apply": (KeyValue, "apply", _refuse_too_late, "refused, and something has changed"),
    "key-values": (KeyValue, "snapshot", _leave_out, "a snapshot of it is another state"),
    "operation": (Leader, "handle", _end, "the leader would have ended"),
    "asks": (_ServedClient, "_outcome", lambda *_: ["no outcome"], "a client does not understand its node"),
    "tells": (Board, "lost", lambda *_: None, "neither answered nor asked again"),
    "names": (NameRule, "check", lambda *_: None, "a name that is not there"),
    "store-row": (StoreRow, "columns", _one_chunk_more, "another row comes back"),
}
"""Target → a fault of what it is about, and the finding."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_behind_a_target_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets use some of their parts again and again: none of that hides what has gone wrong."""
    target = TARGETS[name]
    fuzz(target, [], seed=1, count=300)  # what it uses again there is by now, and in order
    owner, method, fault, what = PLANTED[name]
    monkeypatch.setattr(owner, method, fault)
    _, findings = fuzz(target, corpus(name), seed=1, count=2000)
    assert findings
    assert what in findings[0].what


def test_what_was_asked_before_makes_no_difference() -> None:
    """A leader is used again only where the last request has changed nothing of it."""
    target = TARGETS["operation"]

    def answers(requests: list[bytes]) -> dict[bytes, str]:
        async def ask_each() -> dict[bytes, str]:
            return {request: repr(await cast("Awaitable[object]", target.feed(request))) for request in requests}

        return run_for(target, ask_each)

    requests = [*dict.fromkeys(target.seeds)]
    alone = {request: answers([request])[request] for request in requests}
    assert answers(requests) == alone
    assert answers(requests[::-1]) == alone


def test_a_seed_gives_the_same_inputs_again() -> None:
    """And another one others; none is longer than it may be."""
    target = attrs.evolve(TARGETS["message"], most_bytes=60)

    def some(seed: int) -> list[bytes]:
        return [*islice(inputs(target, [b"kept"], random.Random(seed)), 2000)]

    assert some(1) == some(1)
    assert some(1)[100:] != some(2)[100:]
    assert max(map(len, some(1)[len(target.seeds) + 1 :])) == 60


_DATA, _OTHER = bytes(range(8)), b"other"
_CHANGED: dict[Change, set[bytes]] = {
    mutating._flip: {
        _DATA[:at] + bytes([_DATA[at] ^ 1 << bit]) + _DATA[at + 1 :] for at in range(8) for bit in range(8)
    },
    mutating._set: {_DATA[:at] + bytes([byte]) + _DATA[at + 1 :] for at in range(8) for byte in range(256)},
    mutating._insert: {_DATA[:at] + piece + _DATA[at:] for at in range(9) for piece in _NOTABLE},
    mutating._overwrite: {
        _DATA[:at] + piece + _DATA[at + len(piece) :] for piece in _NOTABLE for at in range(max(0, 8 - len(piece)) + 1)
    },
    mutating._remove: {_DATA[:at] + _DATA[at + size :] for at in range(9) for size in range(1, 17)},
    mutating._cut: {_DATA[:at] for at in range(9)},
    mutating._repeat: {
        _DATA[:at] + _DATA[at : at + size] * count + _DATA[at:]
        for at in range(9)
        for size in range(1, 65)
        for count in range(1, 9)
    },
    mutating._splice: {_DATA[:at] + _OTHER[start:] for at in range(9) for start in range(6)},
    mutating._count: {
        _DATA[:at] + (int.from_bytes(_DATA[at : at + size], "big") + by).to_bytes(8, "big")[-size:] + _DATA[at + size :]
        for size in (1, 2, 4, 8)
        for at in range(9 - size)
        for by in (1, -1)
        if at + size > 1 or by > 0
    }
    | {b"\xff" + _DATA[1:]},
}
"""Change → all that may come of eight bytes."""


def test_bytes_are_changed_in_every_way_and_everywhere() -> None:
    """The first byte and the last, the place behind it, each notable piece: none of all that is left out."""
    assert {*_CHANGED} == {*_CHANGES}
    for change, changed in _CHANGED.items():
        draw, made = random.Random(1).random, set[bytes]()
        for _ in range(50_000):
            data = bytearray(_DATA)
            change(draw, data, [_OTHER])
            made.add(bytes(data))
        assert made == changed, change


def test_each_place_where_an_error_is_raised_is_new_once() -> None:
    """However an input is fed: one of many is watched for the memory that it takes."""

    def feed(data: bytes) -> object:
        if data[:1] == b"a":
            raise ProtocolError("here")
        raise ProtocolError("or there")

    target = Target(feed, (ProtocolError,), (b"a", b"b"))
    novelty = Novelty(target)
    fuzz(target, [], seed=1, count=2000, heard=novelty.heard)
    assert novelty.kept == [b"a", b"b"]


def test_inputs_that_somebody_else_thinks_up_are_fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Atheris(ModuleType):
        """As much of it as `guided` uses: it begins with the inputs that it is given, as libFuzzer does."""

        @staticmethod
        def instrument_imports(include: list[str]) -> AbstractContextManager[None]:
            assert include == ["raft_actors"]
            return nullcontext()

        def Setup(self, arguments: list[str], feed: Callable[[bytes], None]) -> None:  # noqa: N802 - its name
            self.options, self.kept, self.feed = arguments[1:-1], Path(arguments[-1]), feed

        def Fuzz(self) -> None:  # noqa: N802
            for path in sorted(self.kept.iterdir()):
                self.feed(path.read_bytes())

    atheris = Atheris("atheris")
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    guided.main(["message", "-runs=10"], tmp_path)
    assert atheris.options == ["-runs=10"]
    assert len([*(tmp_path / "message").iterdir()]) == len(TARGETS["message"].seeds)
    monkeypatch.setitem(TARGETS, "message", Target(lambda _: 1 // 0, (ProtocolError,), (b"x",)))
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        guided.main(["message"], tmp_path)
    with pytest.raises(SystemExit, match=r"'massage' is no target: name one of .*message"):
        guided.main(["massage"], tmp_path)
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match="pip install atheris"):
        guided.main(["message"], tmp_path)


@pytest.mark.parametrize("name", ["operation", "users"])
def test_lines_are_looked_at_whether_a_target_waits_or_not(name: str) -> None:
    novelty = Novelty(TARGETS[name])
    assert novelty.files() == []
    novelty.learn([*TARGETS[name].seeds])
    assert novelty.taken() == []
    assert {"operation": "node/operating.py", "users": "service/users.py"}[name] in novelty.files()


def test_what_leads_somewhere_new_is_kept() -> None:
    """Lines that were run count, and not only where an error was raised."""

    def feed(data: bytes) -> object:
        return Address.parse("h:1" if data[:1] == b"h" else "[::1]:2")

    novelty = Novelty(Target(feed, (), (b"h",)))
    novelty.learn([b"h"])
    for data in [b"h", b"hh", b"x"] * 500:
        novelty.heard(data, None)
    assert novelty.taken()[-1] == b"x"
    assert novelty.taken() == []
