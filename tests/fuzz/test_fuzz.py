"""Every parser of bytes from elsewhere keeps its promises, on inputs that are kept and on thousands of others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from raft_actors.errors import ConfigurationError, ProtocolError
from raft_actors.transports.sockets.addresses import Address
from tests.fuzz import guided
from tests.fuzz.fuzzing import CORPUS, Finding, corpus, fuzz, try_memory, try_one
from tests.fuzz.novelty import Novelty
from tests.fuzz.soak import Soak, play
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


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Each sitting adds to what the file says; findings stay until they are mended, and are gone on from then."""
    path = tmp_path / "of" / "fuzz.json"
    soak = Soak.open(path, 7)
    soak.targets["address"].findings.append(Finding(b"h:1", "once"))
    soak.targets["hello"].take(play("hello", 1, 3000, []))
    soak.save()
    again = Soak.open(path, None)
    assert again == soak
    assert again.next_target(["hello", "address"], 3000, set()) == "address"
    assert again.next_target(["hello", "address"], 3000, {"address"}) is None
    again.try_findings()
    assert (again.targets["address"].findings, again.targets["address"].corpus) == ([], [b"h:1"])
    hello = again.targets["hello"]
    assert (hello.inputs, hello.rounds) == (3000, 1)
    assert hello.corpus  # inputs that are refused elsewhere than the seeds
    assert "3,000   30.0%" in again.table(10_000)
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="no search"):
        Soak.open(path, None)


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
