"""What a run has found out: medians and spread over its rounds, and all of it as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.cases import Case, Parameter, Sample, Settings
from benchmarks.engines import Engine
from benchmarks.latencies import LatencySummary, summarize


@attrs.frozen
class Spread:
    """One value over all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize one value per round; there must be at least one."""
        return cls(statistics.median(values), min(values), max(values))


@attrs.frozen(kw_only=True)
class Row:
    """One case over all rounds.

    Attributes:
        rounds: the values of each round, as measured.
        series: those of the last round.
    """

    engine: str
    label: str
    durability: str
    parameters: dict[str, Parameter]
    values: dict[str, Spread]
    latency: LatencySummary | None
    rounds: list[dict[str, float]]
    series: dict[str, list[float]]

    @classmethod
    def of(cls, case: Case, samples: Sequence[Sample]) -> Row:
        """Summarize one case's samples; there must be at least one."""
        names = list(samples[0].values)
        return cls(
            engine=case.engine.name,
            label=case.engine.label,
            durability=case.engine.durability_on(str(case.parameters.get("storage", "disk"))),
            parameters=dict(case.parameters),
            values={name: Spread.of([sample.values[name] for sample in samples]) for name in names},
            latency=summarize(sample.latencies for sample in samples if sample.latencies is not None),
            rounds=[dict(sample.values) for sample in samples],
            series=samples[-1].series,
        )

    def median(self, name: str) -> float:
        """The median of a value, or of a latency percentile in milliseconds ("p50")."""
        if name in self.values:
            return self.values[name].median
        if self.latency is None:
            raise KeyError(name)
        return self.latency.percentiles[name]


@attrs.frozen(kw_only=True)
class Report:
    """One run of one question.

    Attributes:
        skipped: engines that this machine lacks → what to install.
        failures: measurements that could not be done → why.
    """

    question: str
    asks: str
    when: str
    machine: Mapping[str, str | int | float]
    settings: dict[str, Any]
    engines: list[dict[str, str]]
    skipped: dict[str, str]
    failures: dict[str, str]
    rows: list[Row]

    def select(self, **parameters: Parameter) -> list[Row]:
        """The rows with these parameters."""
        return [row for row in self.rows if all(row.parameters.get(name) == each for name, each in parameters.items())]

    def write(self, folder: Path) -> Path:
        """Write `<question>.json`; return its path."""
        path = folder / f"{self.question}.json"
        path.write_text(json.dumps(attrs.asdict(self), indent=1) + "\n", encoding="utf-8")
        return path


def describe_settings(settings: Settings) -> dict[str, Any]:
    """The settings that figures depend on."""
    return {
        "rounds": settings.rounds,
        "warmup_s": settings.warmup_s,
        "seconds": settings.seconds,
        "quick": settings.quick,
        **{name: list(values) for name, values in settings.values.items()},
    }


def describe_engines(engines: Sequence[Engine]) -> list[dict[str, str]]:
    """What was measured: version, settings and durability of each engine."""
    return [
        {
            "name": engine.name,
            "label": engine.label,
            "version": engine.version(),
            "settings": engine.settings,
            "durability": engine.durability,
        }
        for engine in engines
    ]


def rows_of(done: Sequence[tuple[Case, Sample]]) -> list[Row]:
    """One row for each case that was measured at least once, in the order of the plan."""
    grouped: list[tuple[Case, list[Sample]]] = []
    for case, sample in done:
        for known, samples in grouped:
            if known == case:
                samples.append(sample)
                break
        else:
            grouped.append((case, [sample]))
    return [Row.of(case, samples) for case, samples in grouped]
