"""A long search: so many inputs for each target, over all cores, in as many sittings as it takes.

What was done is kept in a file, and written after each round: how many inputs each target has had, in how much CPU
time, what was found, and which inputs lead where no other does. The next sitting goes on from there. Findings are tried
again first: those that are mended become inputs to go on from.
"""

from __future__ import annotations

import gc
import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from tests.fuzz.fuzzing import Finding, corpus, fuzz, try_memory
from tests.fuzz.novelty import Novelty
from tests.fuzz.targets import TARGETS

_VERSION = 1
_ROUND_S = 10.0
_MOST_IN_ROUND = 1_000_000
_MOST_CORPUS = 2_000
_MOST_FINDINGS = 5


@attrs.frozen
class Round:
    """What came of some inputs."""

    inputs: int
    cpu_s: float
    new: list[bytes]
    findings: list[Finding]


@attrs.define
class Progress:
    """How far one target is."""

    rounds: int = 0
    inputs: int = 0
    cpu_s: float = 0.0
    corpus: list[bytes] = attrs.field(factory=list[bytes])
    findings: list[Finding] = attrs.field(factory=list[Finding])

    @classmethod
    def of(cls, said: dict[str, Any]) -> Progress:
        """From what the file says."""
        corpus = [bytes.fromhex(text) for text in said["corpus"]]
        findings = [Finding(bytes.fromhex(text), what) for text, what in said["findings"]]
        return cls(said["rounds"], said["inputs"], said["cpu_s"], corpus, findings)

    def take(self, played: Round) -> None:
        """Add what came of some more inputs."""
        self.rounds += 1
        self.inputs += played.inputs
        self.cpu_s += played.cpu_s
        self.corpus = (self.corpus + played.new)[:_MOST_CORPUS]
        self.findings += played.findings

    def said(self) -> dict[str, Any]:
        """What the file says of it."""
        return {
            "rounds": self.rounds,
            "inputs": self.inputs,
            "cpu_s": self.cpu_s,
            "corpus": [data.hex() for data in self.corpus],
            "findings": [[finding.data.hex(), finding.what] for finding in self.findings],
        }


_novelties: dict[str, Novelty] = {}
"""Of this process, by target."""


def play(name: str, seed: int, count: int, kept: list[bytes]) -> Round:
    """Feed a target some inputs, changed from these, for some seconds at most. Runs in a process of its own."""
    began, target = time.process_time(), TARGETS[name]
    novelty = _novelties.get(name)
    if novelty is None:
        novelty = _novelties[name] = Novelty(target)
        novelty.learn([*target.seeds, *corpus(name), *kept])
    end = time.process_time() + _ROUND_S
    done, findings = fuzz(
        target, [*corpus(name), *kept], seed, count, heard=novelty.heard, is_over=lambda: time.process_time() >= end
    )
    new = novelty.taken()
    return Round(done, time.process_time() - began, new, findings)


def _begin() -> None:
    """Let the garbage collector leave alone what stays: it finds some in each input of a target that has state."""
    gc.collect()
    gc.freeze()


@attrs.define
class Soak:
    """A search that is kept in a file."""

    path: Path
    seed: int
    targets: dict[str, Progress]

    @classmethod
    def open(cls, path: Path, seed: int | None) -> Soak:
        """Go on with what a file says, or begin one.

        Raises:
            ConfigurationError: it is none, or of another version.
        """
        if not path.exists():
            seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
            return cls(path, seed, {name: Progress() for name in TARGETS})
        try:
            said = json.loads(path.read_text("utf-8"))
            if said["version"] != _VERSION:
                raise ValueError(f"version {said['version']}")
            targets = {name: Progress.of(one) for name, one in said["targets"].items() if name in TARGETS}
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is no search that can be gone on with: {error}") from error
        return cls(path, said["seed"], {name: targets.get(name, Progress()) for name in TARGETS})

    def save(self) -> None:
        """Write it down, whole or not at all."""
        targets = {name: progress.said() for name, progress in self.targets.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_text(json.dumps({"version": _VERSION, "seed": self.seed, "targets": targets}), "utf-8")
        beside.replace(self.path)

    def try_findings(self) -> None:
        """See which findings are still some."""
        for name, progress in self.targets.items():
            tried = [(finding.data, try_memory(TARGETS[name], finding.data)) for finding in progress.findings]
            progress.findings = [found for _, found in tried if found is not None]
            progress.corpus += [data for data, found in tried if found is None]

    def run(self, names: list[str], inputs: int, seconds: float, jobs: int) -> None:
        """Feed these targets until each has had so many inputs in all, or the time is over; Ctrl-C ends it, too.

        The one that is furthest behind is next, and no two rounds of one are played at a time.
        """
        end = time.monotonic() + seconds
        playing: dict[Future[Round], str] = {}
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin) as pool:
            try:
                while True:
                    while len(playing) < jobs and time.monotonic() < end:
                        name = self.next_target(names, inputs, set(playing.values()))
                        if name is None:
                            break
                        progress = self.targets[name]
                        count = min(_MOST_IN_ROUND, inputs - progress.inputs)
                        # Another seed for each round: inputs that were had are not had again.
                        round_ = pool.submit(
                            play, name, self.seed + 1_000_003 * progress.rounds, count, progress.corpus
                        )
                        playing[round_] = name
                    if not playing:
                        return
                    for done in wait(playing, return_when=FIRST_COMPLETED).done:
                        self.targets[playing.pop(done)].take(done.result())
                        self.save()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def next_target(self, names: list[str], inputs: int, busy: set[str]) -> str | None:
        """The one that is furthest behind, and not being fed."""

        def is_left(name: str) -> bool:
            progress = self.targets[name]
            return name not in busy and progress.inputs < inputs and len(progress.findings) < _MOST_FINDINGS

        return min(filter(is_left, names), key=lambda name: self.targets[name].inputs, default=None)

    def table(self, inputs: int) -> str:
        """How far all is."""
        lines = [
            f"{'target':<14} {'inputs':>12} {'of all':>7} {'a CPU s':>9} {'CPU min':>8} {'left':>8} {'kept':>5}  found"
        ]
        left_s = 0.0
        for name, one in self.targets.items():
            speed = one.inputs / one.cpu_s if one.cpu_s else 0.0
            left = max(0, inputs - one.inputs) / speed if speed else 0.0
            left_s += left
            found = str(len(one.findings)) if one.findings else "nothing"
            lines.append(
                f"{name:<14} {one.inputs:>12,} {min(1.0, one.inputs / inputs):>7.1%} {speed:>9,.0f} "
                f"{one.cpu_s / 60:>8.1f} {left / 60:>8.1f} {len(one.corpus):>5}  {found}"
            )
        spent_s = sum(one.cpu_s for one in self.targets.values())
        lines.append(f"{'all':<14} {'':>12} {'':>7} {'':>9} {spent_s / 60:>8.1f} {left_s / 60:>8.1f}")
        return "\n".join(lines)
