"""A long search: so many inputs for each target, over all cores, in as many sittings as it takes.

What was done is kept in `soak.json` here, so that whoever searches adds to it, and commits it: how many inputs each
target has had, in how much CPU time, and what was found. It is written after each round. The next sitting goes on from
there, with other seeds: the first round of a target has the file's, each further one 1,000,003 more. Findings are tried
again first: those that are mended become inputs to go on from.

Inputs count for the package as it is, or as earlier ones. The file says in which of the package's files each target has
run lines, with their digests; where one of those has changed, all that the target has had was for an earlier package,
and it begins anew. It does not begin anew when something changes in a file of which it runs no line, as a constant, or
in how inputs are made and looked at, which is `tests/fuzz` itself.

Inputs that lead where no other does are kept apart, and not in the repository: a new checkout finds its own.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from tests.fuzz.fuzzing import Finding, corpus, fuzz, try_memory
from tests.fuzz.novelty import PACKAGE, Novelty
from tests.fuzz.targets import TARGETS

_VERSION = 2
_ROUND_S = 10.0
_MOST_IN_ROUND = 1_000_000
_MOST_CORPUS = 2_000
_MOST_FINDINGS = 5


@cache
def digest(file: str) -> str:
    """Of a file of the package as it was when first asked for: processes go on with what they have imported."""
    path = PACKAGE / file
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


@attrs.frozen
class Round:
    """What came of some inputs; `files`: those of the package in which they, and others before, have run lines."""

    inputs: int
    cpu_s: float
    new: list[bytes]
    findings: list[Finding]
    files: list[str]


@attrs.define
class Progress:
    """How far one target is.

    Attributes:
        rounds: of all versions of the package.
        inputs: that the package has had as it is now.
        earlier: those that earlier versions had.
        cpu_s: for all of them.
        last: the day of the last round.
        files: those of the package in which it runs lines → their digests.
        findings: what was found, and is not mended.
        corpus: inputs that lead where no other does.
    """

    rounds: int = 0
    inputs: int = 0
    earlier: int = 0
    cpu_s: float = 0.0
    last: str = ""
    files: dict[str, str] = attrs.field(factory=dict[str, str])
    findings: list[Finding] = attrs.field(factory=list[Finding])
    corpus: list[bytes] = attrs.field(factory=list[bytes])

    @classmethod
    def of(cls, said: dict[str, Any], kept: list[str]) -> Progress:
        """From what the files say, for the package as it is now."""
        findings = [Finding(bytes.fromhex(text), what) for text, what in said["findings"]]
        numbers = said["rounds"], said["inputs"], said["earlier"], said["cpu_s"]
        progress = cls(*numbers, said["last"], said["files"], findings, list(map(bytes.fromhex, kept)))
        if any(digest(file) != known for file, known in progress.files.items()):
            progress.earlier, progress.inputs, progress.files = progress.earlier + progress.inputs, 0, {}
        return progress

    def take(self, played: Round) -> None:
        """Add what came of some more inputs."""
        self.rounds += 1
        self.inputs += played.inputs
        self.cpu_s += played.cpu_s
        self.last = datetime.now(UTC).date().isoformat()
        self.files |= {file: digest(file) for file in played.files}
        self.corpus = (self.corpus + played.new)[:_MOST_CORPUS]
        self.findings += played.findings

    def said(self) -> dict[str, Any]:
        """What the repository's file says of it: of a finding the last line, without the paths of a traceback."""
        return {
            "rounds": self.rounds,
            "inputs": self.inputs,
            "earlier": self.earlier,
            "cpu_s": round(self.cpu_s, 1),
            "last": self.last,
            "findings": [[finding.data.hex(), finding.what.strip().rpartition("\n")[2]] for finding in self.findings],
            "files": dict(sorted(self.files.items())),
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
    return Round(done, time.process_time() - began, new, findings, novelty.files())


def _begin() -> None:
    """Let the garbage collector leave alone what stays: it finds some in each input of a target that has state."""
    gc.collect()
    gc.freeze()


@attrs.define
class Soak:
    """A search that is kept in a file, and beside the repository the inputs that it goes on from."""

    path: Path
    kept: Path
    seed: int
    targets: dict[str, Progress]

    @classmethod
    def open(cls, path: Path, kept: Path, seed: int | None) -> Soak:
        """Go on with what a file says, or begin one.

        Raises:
            ConfigurationError: it is none, or of another version.
        """
        if not path.exists():
            seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
            return cls(path, kept, seed, {name: Progress() for name in TARGETS})
        try:
            said = json.loads(path.read_text("utf-8"))
            if said["version"] != _VERSION:
                raise ValueError(f"version {said['version']}")
            inputs: dict[str, list[str]] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
            known = said["targets"]
            targets = {name: Progress.of(known[name], inputs.get(name, [])) for name in TARGETS if name in known}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} is no search that can be gone on with: {error}") from error
        return cls(path, kept, said["seed"], {name: targets.get(name, Progress()) for name in TARGETS})

    def save(self) -> None:
        """Write it down: each file whole, or not at all."""
        targets = {name: progress.said() for name, progress in self.targets.items()}
        _write(self.kept, {name: [data.hex() for data in one.corpus] for name, one in self.targets.items()})
        _write(self.path, {"version": _VERSION, "seed": self.seed, "targets": targets})

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
        """How far all is: inputs for the package as it is, which part of all that is, and how many there ever were."""
        head = f"{'target':<14} {'inputs':>12} {'of all':>7} {'ever':>13} {'a CPU s':>9} {'CPU min':>8} {'left':>8}"
        lines = [f"{head} {'kept':>5}  found"]
        left_s = 0.0
        for name, one in self.targets.items():
            ever = one.earlier + one.inputs
            speed = ever / one.cpu_s if one.cpu_s else 0.0
            left = max(0, inputs - one.inputs) / speed if speed else 0.0
            left_s += left
            found = str(len(one.findings)) if one.findings else "nothing"
            lines.append(
                f"{name:<14} {one.inputs:>12,} {min(1.0, one.inputs / inputs):>7.1%} {ever:>13,} {speed:>9,.0f} "
                f"{one.cpu_s / 60:>8.1f} {left / 60:>8.1f} {len(one.corpus):>5}  {found}"
            )
        spent_s = sum(one.cpu_s for one in self.targets.values())
        lines.append(f"{'all':<14} {'':>12} {'':>7} {'':>13} {'':>9} {spent_s / 60:>8.1f} {left_s / 60:>8.1f}")
        return "\n".join(lines)


def _write(path: Path, said: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    beside.replace(path)
