"""Every parser of bytes from elsewhere keeps its promises, on inputs that are kept and on thousands of others."""

from __future__ import annotations

import pytest

from raft_actors.errors import ProtocolError
from tests.fuzz.fuzzing import CORPUS, corpus, fuzz, try_memory, try_one
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
        if name != "handshake":  # of which a seed is only the beginning
            target.feed(target.seeds[0])


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
