"""What a question is: data that says what to vary and how to show it, and a function that measures one case."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.engines import OURS, Engine
from benchmarks.plots import Drawing
from benchmarks.results import Report

PEERS = ("raft_actors", "hashicorp", "etcd", "pysyncobj", "pysyncobj-tuned")


@attrs.frozen
class Column:
    """How a table shows a value: the median, formatted; with its range where asked."""

    header: str
    value: str
    text: Callable[[float], str]
    spread: bool = False


def no_drawings(_report: Report) -> list[Drawing]:
    """No plots."""
    return []


@attrs.frozen(kw_only=True)
class Question:
    """One question, and how to answer it.

    Attributes:
        asks: the question, in a line.
        plan: the cases of a round, in an order that puts next to each other what is to be compared.
        measure: measure one case once.
        draw: the plots; none where the table says it all.
        compare: the value by which our engine is set against each other one, and whether more of it is better.
        engines: which are asked unless told otherwise.
        rounds, seconds, warmup_s: unless told otherwise.
    """

    name: str
    asks: str
    options: tuple[Option, ...]
    plan: Callable[[Settings, Sequence[Engine]], list[Case]]
    measure: Callable[[Settings, Case], Awaitable[Sample]]
    columns: tuple[Column, ...]
    draw: Callable[[Report], list[Drawing]] = no_drawings
    compare: tuple[str, bool] | None = None
    engines: tuple[str, ...] = PEERS
    rounds: int = 3
    seconds: float = 3.0
    warmup_s: float = 1.0
    notes: tuple[str, ...] = ()


def product(engines: Sequence[Engine], parameters: Sequence[dict[str, Parameter]]) -> list[Case]:
    """Every engine under every set of parameters (each set once), an engine after the other before the next set."""
    distinct: list[dict[str, Parameter]] = []
    for each in parameters:
        if each not in distinct:
            distinct.append(each)
    return [Case(engine, each) for each in distinct for engine in engines]


def only_ours(engines: Sequence[Engine]) -> list[Engine]:
    """For parameters that the others do not have."""
    return [engine for engine in engines if engine is OURS]


def percent(share: float) -> str:
    """A share of one."""
    return f"{share * 100:.1f}%"


def mebibytes(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:,.0f} MiB"


def seconds_text(value: float) -> str:
    """Seconds to the millisecond."""
    return f"{value:.3f} s"


def thousands(value: float) -> str:
    """A whole number with separators."""
    return f"{value:,.0f}"


def decimals(value: float) -> str:
    """Three significant digits, roughly."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


COST_COLUMNS = (
    Column("commits/s", "commits_per_s", thousands, spread=True),
    Column("leader CPU µs/commit", "leader_cpu_us", decimals, spread=True),
    Column("follower CPU µs/commit", "follower_cpu_us", decimals),
    Column("elections", "elections", thousands),
)
"""Of a question about what something costs each commit."""
