"""What a question is: data that says what to vary and how to show it, and a function that measures one case."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from benchmarks.engines import OURS, Engine

if TYPE_CHECKING:
    from benchmarks.plots import Drawing
    from benchmarks.results import Report

Parameter = int | str
PEERS = ("raft_actors", "hashicorp", "etcd", "pysyncobj", "pysyncobj-tuned")


@attrs.frozen
class Option:
    """A list that the command line may replace: `--proposers 1,64`.

    Attributes:
        name: also how plans ask for it; on the command line, dashes take the underscores' place.
        default, quick: what it holds otherwise, and with `--quick`.
        choices: what it may hold, where that is not any positive number.
    """

    name: str
    says: str
    default: tuple[Parameter, ...]
    quick: tuple[Parameter, ...]
    choices: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class Settings:
    """What the command line says about a run.

    Attributes:
        folder: where clusters keep their data.
        output: where results go.
        rounds: how often each case is measured; the cases of a round come one after the other.
        warmup_s, seconds: how long a load runs before it counts, and how long it counts.
        values: what each of the question's options holds.
    """

    folder: Path
    output: Path
    rounds: int
    warmup_s: float
    seconds: float
    values: Mapping[str, tuple[Parameter, ...]]
    quick: bool = False

    def numbers(self, option: str) -> list[int]:
        """The values of an option that holds numbers."""
        return [int(value) for value in self.values[option]]

    def words(self, option: str) -> list[str]:
        """The values of an option that holds words."""
        return [str(value) for value in self.values[option]]


@attrs.frozen
class Case:
    """One engine under one set of parameters.

    Attributes:
        once: one round is enough, as it takes long or gives no figure with a spread.
    """

    engine: Engine
    parameters: dict[str, Parameter]
    once: bool = False

    def number(self, name: str) -> int:
        """A parameter that is a number."""
        return int(self.parameters[name])

    def word(self, name: str) -> str:
        """A parameter that is a word."""
        return str(self.parameters[name])

    def __str__(self) -> str:
        return self.engine.label + " " + " ".join(f"{name}={value}" for name, value in self.parameters.items())


@attrs.frozen
class Sample:
    """What one measurement gave.

    Attributes:
        values: by name; a column says how to show one.
        latencies: of each wait, in ticks (see `latencies`).
        series: points in time, for those questions that plot them: name → values.
        texts: files to write beside the results: name → content.
    """

    values: dict[str, float]
    latencies: Sequence[int] | None = None
    series: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])
    texts: dict[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen
class Column:
    """How a table shows a value: the median, formatted; with its range where asked."""

    header: str
    value: str
    text: Callable[[float], str]
    spread: bool = False


@attrs.frozen(kw_only=True)
class Question:
    """One question, and how to answer it.

    Attributes:
        asks: the question, in a line.
        plan: the cases of a round, in an order that puts next to each other what is to be compared.
        measure: measure one case once.
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
    draw: Callable[[Report], list[Drawing]]
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
