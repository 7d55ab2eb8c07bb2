"""The table of all mutations and what caught them, for docs/mutations.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from tests.mutations.catalogue import CATALOGUE, EVERY, GAPS, MUTATIONS
from tests.mutations.trial import Outcome

_HEAD = """\
# Mutations

We measure the simulator with {total} mutations, each a small change of the engine's source that breaks one rule.
`make mutations` applies one after the other to a private copy of the package and runs seeds 0, 1, 2, … of the
simulator on it, {seconds:g} simulated seconds each with all faults, until one
fails. A mutation that survives {seeds} seeds fails the command. The unchanged package must pass {baseline} seeds.

Sections are those of the Raft paper unless another source is named. Under "caught by", "crash" is a failed check
inside of the node (`InternalError`) or another error that ended it, "liveness" a cluster that was healed and did
not recover in time, "hang" a run without end. Every other name but linearizability is that of an invariant, or
of a test. {scenarios} of them show only in situations that drawn faults produce too rarely. For these, a
scenario of the tests, with a whole cluster in simulated time, is run instead of seeds.

{gaps}{caught} of {total} are caught: {first} by the first seed, half of them after {median} or fewer, the last after
{worst}.

| caught by | mutations |
|---|---|
{kinds}
"""

_KNOWN = "{count} more are known that it has not caught: see [known gaps](#known-gaps). Of the others,\n"

_GAPS = """
## Known gaps

These {count} break rules too, and have not been caught so far. `python -m tests.mutations NAME --seeds …` runs one.

| mutation | rule that it breaks | source | why it is hard to find |
|---|---|---|---|
{rows}
"""

_LEFT_OUT = """
## Left out

That a follower compares only the first batch of each message breaks nothing, so it is none of them. A leader sends
entries to a follower only once that one has accepted, in the same term, an empty message that ends where it takes the
logs to part (or a snapshot). It begins with its own last entry, and each rejection leads it to the end of a term that
both have, or to the start of one that it lacks: never to before the point where the logs part. So what contradicts it
begins with the first entry that it sends, and is cut with that one. From then on the follower's log is a part of the
leader's for as long as the term lasts, and an entry of an older term is refused.
"""

_GROUP = """
## {heading}

| mutation | rule that it breaks | source | caught by | seeds |
|---|---|---|---|---|
{rows}
"""

_SURVIVED = "**survived**"
_ROW = re.compile(r"^\| ([a-z-]+) \| .* \| (.+) \| (\d+) \|$", re.MULTILINE)


def table(outcomes: Mapping[str, Outcome], *, seeds: int, seconds: float, baseline: int) -> str:
    """The document, from the outcome of every mutation."""
    caught = [outcome for outcome in outcomes.values() if outcome.caught_by]
    counts = sorted(outcome.seeds for outcome in caught if outcome.seeds)
    kinds = Counter(_kind(outcome) for outcome in outcomes.values())
    head = _HEAD.format(
        total=len(MUTATIONS),
        gaps=_KNOWN.format(count=len(GAPS)) if GAPS else "",
        seconds=seconds,
        seeds=seeds,
        baseline=baseline,
        caught=len(caught),
        scenarios=sum(bool(each.scenario) for each in MUTATIONS.values()),
        first=counts.count(1),
        median=counts[len(counts) // 2] if counts else 0,
        worst=counts[-1] if counts else 0,
        kinds="\n".join(f"| {kind or '**nothing**'} | {count} |" for kind, count in kinds.most_common()),
    )
    groups = [
        _GROUP.format(
            heading=heading, rows="\n".join(_row(outcomes[each.name]) for each in group if each.name in MUTATIONS)
        )
        for heading, group in CATALOGUE.items()
    ]
    if GAPS:
        rows = [f"| {name} | {EVERY[name].breaks} | {EVERY[name].source} | {reason} |" for name, reason in GAPS.items()]
        groups.append(_GAPS.format(count=len(GAPS), rows="\n".join(rows)))
    return head + "".join(groups) + _LEFT_OUT


def _kind(outcome: Outcome) -> str:
    return "a scenario" if outcome.caught_by.startswith("`") else outcome.caught_by


def outcomes_in(document: str) -> dict[str, Outcome]:
    """What the rows of a document say, by mutation; those of mutations that there are no more are passed over."""
    rows = _ROW.findall(document)
    return {
        name: Outcome(
            mutation=EVERY[name], caught_by="" if caught_by == _SURVIVED else caught_by, seeds=int(seeds), text=""
        )
        for name, caught_by, seeds in rows
        if name in EVERY
    }


def _row(outcome: Outcome) -> str:
    mutation = outcome.mutation
    if mutation is None:
        raise ValueError("the unchanged package has no row of its own")
    caught_by = outcome.caught_by or _SURVIVED
    return f"| {mutation.name} | {mutation.breaks} | {mutation.source} | {caught_by} | {outcome.seeds} |"
