"""A long search of all fuzzers goes on over sittings, checkouts and versions of the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import pytest

from raft_actors.errors import ConfigurationError
from tests.fuzz.fuzzing import Finding
from tests.fuzz.soak import Soak, play


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Each sitting adds to what the file says; findings stay until they are mended, and are gone on from then."""
    path, kept = tmp_path / "of" / "soak.json", tmp_path / "kept.json"
    soak = Soak.open(path, kept, 7)
    soak.targets["address"].findings.append(Finding(b"h:1", "Traceback:\n  in a folder\nonce"))
    soak.targets["hello"].take(play("hello", 1, 3000, []))
    soak.save()
    assert "in a folder" not in path.read_text()
    again = Soak.open(path, kept, None)
    assert again.targets["address"].findings == [Finding(b"h:1", "once")]
    assert attrs.evolve(again, targets={}) == attrs.evolve(soak, targets={})
    assert {name: one.said() for name, one in again.targets.items()} == {
        name: one.said() for name, one in soak.targets.items()
    }
    assert again.next_target(["hello", "address"], 3000, set()) == "address"
    assert again.next_target(["hello", "address"], 3000, {"address"}) is None
    again.try_findings()
    assert (again.targets["address"].findings, again.targets["address"].corpus) == ([], [b"h:1"])
    hello = again.targets["hello"]
    assert (hello.inputs, hello.rounds) == (3000, 1)
    assert hello.corpus == soak.targets["hello"].corpus != []  # inputs that are refused elsewhere than the seeds
    assert "3,000   30.0%" in again.table(10_000)
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="no search"):
        Soak.open(path, kept, None)


def test_another_checkout_goes_on_with_a_search(tmp_path: Path) -> None:
    """It has the repository's file alone, and not the inputs to go on from; what was done counts all the same."""
    path = tmp_path / "soak.json"
    soak = Soak.open(path, tmp_path / "kept.json", 7)
    soak.targets["hello"].take(play("hello", 1, 3000, []))
    soak.save()
    other = Soak.open(path, tmp_path / "none yet.json", None).targets["hello"]
    assert (other.inputs, other.rounds, other.corpus) == (3000, 1, [])
    other.take(play("hello", 2, 500, []))
    assert (other.inputs, other.rounds) == (3500, 2)


def test_inputs_count_for_the_parser_that_had_them(tmp_path: Path) -> None:
    """When a file in which a target runs lines has changed, it is to have all of its inputs anew; others are not."""
    path, kept = tmp_path / "soak.json", tmp_path / "kept.json"
    soak = Soak.open(path, kept, 7)
    for name in ("hello", "resp"):
        soak.targets[name].take(play(name, 1, 1000, []))
    parser = "transports/wire/handshake.py"
    assert parser in soak.targets["hello"].files
    assert [*soak.targets["resp"].files] == ["service/resp.py"]
    soak.save()
    said = json.loads(path.read_text())
    said["targets"]["hello"]["files"][parser] = "as it was"
    path.write_text(json.dumps(said))
    soak = Soak.open(path, kept, None)
    hello, resp = soak.targets["hello"], soak.targets["resp"]
    assert (hello.inputs, hello.earlier, hello.files) == (0, 1000, {})
    assert (resp.inputs, resp.earlier) == (1000, 0)
    assert soak.next_target(["resp", "hello"], 10_000, set()) == "hello"
    hello.take(play("hello", 2, 200, []))
    soak.save()
    hello = Soak.open(path, kept, None).targets["hello"]
    assert (hello.inputs, hello.earlier, hello.rounds) == (200, 1000, 2)
    assert parser in hello.files
    assert re.search(r"hello +200 +20.0% +1,200 ", soak.table(1000))


def test_the_search_that_is_kept_can_be_gone_on_with(tmp_path: Path) -> None:
    soak = Soak.open(Path(__file__).parent / "soak.json", tmp_path / "none.json", None)
    assert sum(one.inputs + one.earlier for one in soak.targets.values()) > 14_000_000
