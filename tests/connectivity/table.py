"""The outcomes as a document."""

from __future__ import annotations

from collections.abc import Sequence

from tests.connectivity.trial import MOST_TERMS, WITHIN_S, Kind, Outcome

_TEXT = """# Which links a cluster needs

Made by `make connectivity` (`python -m tests.connectivity`). A simulated cluster with default settings elects a
leader; then only some links work, each direction for itself, and commands are proposed to whoever leads. Wherever an
up-to-date node has two-way links to a majority, a command has to be committed within {within:g} s (five times the
longest election timeout), commands still at the end, after twice that time, and all of it may take {terms} terms.

Raft can't do more. A leader needs acknowledgements of a majority, so it needs two-way links to one. And voters refuse
whoever lacks entries that they have: where each node with two-way links to a majority lacks entries that too many of
its neighbours have (*constrained election*, in the words of the OmniPaxos paper, EuroSys 2023), nobody can be
elected, although the links would do. Entries that a leader without a majority gave to some of the others, and that
nobody can commit any more, come to the same: "in the end".

"""


def document(outcomes: Sequence[Outcome], seeds: range) -> str:
    """The table."""
    lines = ["| nodes | links | graphs | commit | slowest | most terms | wrong |", "|---|---|--:|--:|--:|--:|--:|"]
    for size in sorted({len(outcome.graph.nodes) for outcome in outcomes}):
        of_size = [outcome for outcome in outcomes if len(outcome.graph.nodes) == size]
        for words, some in _classes(of_size):
            lines.append(_row(size, words, some))
    drawn = f"\nThose of five nodes are drawn from the seeds {seeds[0]:,} to {seeds[-1]:,}.\n" if seeds else ""
    return _TEXT.format(within=WITHIN_S, terms=MOST_TERMS) + "\n".join(lines) + "\n" + drawn


def _classes(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    classes: list[tuple[str, list[Outcome]]] = []
    for kind in Kind:
        some = [outcome for outcome in outcomes if outcome.kind is kind]
        if kind is Kind.ELECTABLE:
            later = [outcome for outcome in some if outcome.kind_after is not kind]
            some = [outcome for outcome in some if outcome.kind_after is kind]
            classes += [(kind, some), (f"{Kind.OUTDATED}, in the end", later)]
        else:
            classes.append((kind, some))
    return classes


def _row(size: int, words: str, outcomes: Sequence[Outcome]) -> str:
    times = [outcome.commits_after_s for outcome in outcomes if outcome.commits_after_s is not None]
    slowest = f"{max(times):.2f} s" if times else "–"
    terms = max((outcome.terms for outcome in outcomes), default=0)
    wrong = sum(outcome.wrong is not None for outcome in outcomes)
    return f"| {size} | {words} | {len(outcomes):,} | {len(times):,} | {slowest} | {terms} | {wrong} |"
