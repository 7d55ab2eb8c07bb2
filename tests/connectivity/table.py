"""The outcomes as a document."""

from __future__ import annotations

from collections.abc import Sequence

from tests.connectivity.trial import MOST_TERMS, WITHIN_S, Kind, Outcome

_TEXT = """# Which links a cluster needs

Made by `make connectivity` (`python -m tests.connectivity`). A simulated cluster with default settings elects a
leader. Then only some of the links work (the two directions of a link are independent), and commands are
proposed to whichever node leads. If an up-to-date node has two-way links to a majority, then a command must be
committed within {within:g} s (five times the longest election timeout), commands must still be committed after
twice that time, and no more than {terms} terms may begin.

Raft can't do more. A leader needs acknowledgements from a majority, so it needs two-way links to one. And voters
refuse a candidate that lacks entries which they have: if each node with two-way links to a majority lacks
entries that too many of its neighbours have (a *constrained election*, in the words of the OmniPaxos paper,
EuroSys 2023), none can be elected, although there are enough links. The same happens later ("in the end") when a
leader without a majority has sent entries to some of the others which can't be committed any more.

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
