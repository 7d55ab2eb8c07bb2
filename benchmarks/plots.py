# pyright: reportUnknownMemberType=false
# (matplotlib types its own methods only in part)
"""Plots that can be read without the table: every point bears its figure, every legend says how durable it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.cases import Parameter
from benchmarks.engines import ENGINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.results import Report, Row

_SIZE = (10.5, 6.5)
_LOG_FROM_RATIO = 30
# Of a label, in points: how far above or below its point it is, and how high a line of text.
_ABOVE, _BELOW, _LINE = 8, -14, 9
#: Groups' names of more letters than this have no room side by side.
_LETTERS_IN_A_ROW = 110


@attrs.frozen
class Drawing:
    """A plot and the name of its files."""

    name: str
    figure: Figure

    def write(self, folder: Path) -> list[Path]:
        """Write it as PNG and SVG; return their paths."""
        paths = [folder / f"{self.name}.{kind}" for kind in ("png", "svg")]
        for path in paths:
            self.figure.savefig(path, dpi=130)
        return paths


def short(value: float) -> str:
    """A figure for a label: three digits, and a letter for its size."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def size_text(value: Parameter) -> str:
    """A number of bytes or of anything else, as an axis shows it: 16384 is 16Ki."""
    if isinstance(value, int) and value >= 1024 and not value % 1024:
        return f"{value // 1024}Ki"
    return f"{value:,}" if isinstance(value, int) else value


def fixed_parameters(rows: Sequence[Row]) -> dict[str, Parameter]:
    """The parameters that are the same in all rows."""
    first = rows[0].parameters if rows else {}
    return {name: value for name, value in first.items() if all(row.parameters.get(name) == value for row in rows)}


def start(report: Report, rows: Sequence[Row], y_label: str, x_label: str) -> tuple[Figure, Axes]:
    """Begin a plot of some rows: title, the machine and what was fixed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    figure.suptitle(report.asks, fontsize=14, fontweight="bold")
    fixed = ", ".join(f"{name} {size_text(value)}" for name, value in fixed_parameters(rows).items())
    machine = report.machine
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['file_system']}, {machine['python']}"
    count = report.settings["rounds"]
    spread = f"median of {count} interleaved rounds, bars from the lowest to the highest" if count > 1 else "one round"
    axes.set_title("\n".join(filter(None, (fixed, where, spread))), fontsize=8, color="dimgray")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, which="major", color="#e5e5e5")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def lines(
    report: Report,
    rows: Sequence[Row],
    name: str,
    *,
    x: str,
    y: str,
    y_label: str,
    x_scale: str = "log",
) -> Drawing:
    """A line for each engine: a value over a parameter."""
    figure, axes = start(report, rows, y_label, x)
    ticks = sorted({int(row.parameters[x]) for row in rows})
    figures: list[tuple[int, float, str]] = []
    for of_engine in _by_engine(rows):
        ordered = sorted(of_engine, key=lambda row: int(row.parameters[x]))
        across = [int(row.parameters[x]) for row in ordered]
        up = [row.median(y) for row in ordered]
        colour = ENGINES[ordered[0].engine].colour
        axes.errorbar(across, up, yerr=_errors(ordered, y), color=colour, marker="o", capsize=3, label=_legend(ordered))
        figures += [(at_x, at_y, colour) for at_x, at_y in zip(across, up, strict=True)]
    if x_scale == "log":
        axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [size_text(tick) for tick in ticks])
    axes.minorticks_off()
    _scale_up(axes, [row.median(y) for row in rows])
    _add_legend(figure)
    _label_points(figure, axes, figures)
    return Drawing(name, figure)


def _label_points(figure: Figure, axes: Axes, points: Sequence[tuple[int, float, str]]) -> None:
    """Each point's figure in its colour: the highest one's above it, the others' below theirs, and below each other."""
    figure.draw_without_rendering()  # only now it is known how far apart the points are
    points_per_pixel = 72 / figure.dpi
    for x in {x for x, _, _ in points}:
        lowest = math.inf
        for number, (_, y, colour) in enumerate(sorted((point for point in points if point[0] == x), reverse=True)):
            at = axes.transData.transform((x, y))[1] * points_per_pixel
            place = at + _ABOVE if number == 0 else min(at + _BELOW, lowest - _LINE)
            lowest = lowest if number == 0 else place
            axes.annotate(
                short(y),
                (x, y),
                textcoords="offset points",
                xytext=(0, place - at),
                ha="center",
                fontsize=8,
                color=colour,
            )


def curve(report: Report, rows: Sequence[Row], name: str, *, point: str) -> Drawing:
    """Latency over throughput: solid p50, dotted p99; each point is labelled with its parameter."""
    figure, axes = start(report, rows, "latency, ms (solid p50, dotted p99)", "commits/s")
    for of_engine in _by_engine(rows):
        ordered = sorted(of_engine, key=lambda row: int(row.parameters[point]))
        colour = ENGINES[ordered[0].engine].colour
        across = [row.median("commits_per_s") for row in ordered]
        middle = [row.median("p50") for row in ordered]
        axes.plot(across, middle, color=colour, marker="o", label=_legend(ordered))
        axes.plot(across, [row.median("p99") for row in ordered], color=colour, marker=".", linestyle=":", alpha=0.7)
        for row, at_x, at_y in zip(ordered, across, middle, strict=True):
            axes.annotate(
                f"c={row.parameters[point]}" if point == "proposers" else f"{point} {row.parameters[point]}",
                (at_x, at_y),
                textcoords="offset points",
                xytext=(5, -11),
                fontsize=7,
                color=colour,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_ticks(axes)
    _add_legend(figure)
    return Drawing(name, figure)


def bars(
    report: Report,
    rows: Sequence[Row],
    name: str,
    *,
    value: str,
    y_label: str,
    group: Callable[[Row], str],
    group_label: str = "",
) -> Drawing:
    """A bar for each engine in each group."""
    figure, axes = start(report, rows, y_label, group_label)
    groups = list(dict.fromkeys(group(row) for row in rows))
    engines = _by_engine(rows)
    width = 0.8 / max(1, len(engines))
    for number, of_engine in enumerate(engines):
        across = [groups.index(group(row)) + (number - (len(engines) - 1) / 2) * width for row in of_engine]
        up = [row.median(value) for row in of_engine]
        drawn = axes.bar(
            across,
            up,
            width * 0.92,
            yerr=_errors(of_engine, value),
            capsize=3,
            color=ENGINES[of_engine[0].engine].colour,
            label=_legend(of_engine),
        )
        axes.bar_label(drawn, [short(each) for each in up], fontsize=8, padding=2)
    letters = len(groups) * max(len(line) for each in groups or [""] for line in each.split("\n"))
    tilted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor", "fontsize": 8}
    axes.set_xticks(range(len(groups)), groups, **(tilted if letters > _LETTERS_IN_A_ROW else {}))
    _scale_up(axes, [row.median(value) for row in rows])
    axes.margins(y=0.15)
    _add_legend(figure)
    return Drawing(name, figure)


def series(report: Report, rows: Sequence[Row], name: str, *, x: str, y: str, labels: tuple[str, str]) -> Drawing:
    """A line for each row: a value over another that both changed while it ran."""
    figure, axes = start(report, rows, labels[1], labels[0])
    styles = ("-", "--", ":", "-.")
    varied = [each for each in (rows[0].parameters if rows else {}) if each not in fixed_parameters(rows)]
    for number, row in enumerate(rows):
        across, up = row.series[x], row.series[y]
        label = f"{row.label} " + ", ".join(f"{each} {row.parameters[each]}" for each in varied)
        colour, style = ENGINES[row.engine].colour, styles[number % len(styles)]
        axes.plot(across, up, color=colour, linestyle=style, marker=".", label=label)
        for at in (0, -1):
            axes.annotate(
                short(up[at]),
                (across[at], up[at]),
                textcoords="offset points",
                xytext=(0, 6),
                fontsize=8,
                color=colour,
            )
    axes.set_ylim(bottom=0)
    _plain_ticks(axes)
    _add_legend(figure)
    return Drawing(name, figure)


def shares(report: Report, row: Row, name: str, *, label: str, most: int = 25) -> Drawing:
    """Of a row whose series are shares of a whole by name: the largest, one below the other."""
    figure, axes = start(report, [row], "", label)
    largest = sorted(((values[0], each) for each, values in row.series.items()), reverse=True)[:most]
    colour = ENGINES[row.engine].colour
    drawn = axes.barh([each for _, each in largest], [share for share, _ in largest], color=colour)
    axes.bar_label(drawn, [f"{share:.1%}" for share, _ in largest], fontsize=8, padding=2)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(x=0.1)
    return Drawing(name, figure)


def hand_overs(report: Report, row: Row, name: str, *, label: str) -> Drawing:
    """Of a row whose series are a median, a higher quantile and a count by name: one bar below the other, in order."""
    figure, axes = start(report, [row], "", label)
    names, colour = list(row.series), ENGINES[row.engine].colour
    medians = [row.series[each][0] for each in names]
    above = [row.series[each][1] - row.series[each][0] for each in names]
    drawn = axes.barh(names, medians, xerr=[[0.0] * len(names), above], color=colour, ecolor="dimgray", capsize=2)
    axes.bar_label(drawn, [f"{median:,.0f}" for median in medians], fontsize=8, padding=4)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=9)
    axes.margins(x=0.1)
    return Drawing(name, figure)


def _by_engine(rows: Sequence[Row]) -> list[list[Row]]:
    names = list(dict.fromkeys(row.engine for row in rows))
    return [[row for row in rows if row.engine == name] for name in names]


def _add_legend(figure: Figure) -> None:
    """Say what is drawn how, below the plot, where it covers nothing."""
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)


def _legend(rows: Sequence[Row]) -> str:
    durabilities = list(dict.fromkeys(row.durability for row in rows))
    return f"{rows[0].label} ({durabilities[0] if len(durabilities) == 1 else 'see the axis'})"


def _errors(rows: Sequence[Row], value: str) -> list[list[float]] | None:
    if any(value not in row.values for row in rows):
        return None
    spreads = [row.values[value] for row in rows]
    return [[each.median - each.low for each in spreads], [each.high - each.median for each in spreads]]


def _scale_up(axes: Axes, values: Sequence[float]) -> None:
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if positive and len(positive) == len(values) and max(positive) / min(positive) > _LOG_FROM_RATIO:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _plain_ticks(axes)


def _plain_ticks(axes: Axes) -> None:
    """Ticks as 10k, not as a power of ten."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    def text(value: float, _: int | None) -> str:
        return short(value)

    axes.yaxis.set_major_formatter(FuncFormatter(text))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if axes.get_xscale() == "log" and axes.get_xlabel() == "commits/s":
        axes.xaxis.set_major_formatter(FuncFormatter(text))
        axes.xaxis.set_minor_formatter(NullFormatter())
