"""What is measured: a case, with what settings, and what one measurement of it gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.engines import Engine

Parameter = int | str


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
