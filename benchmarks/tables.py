"""A run as a table on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
from rich.box import SIMPLE
from rich.columns import Columns
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.latencies import PERCENTILES
from benchmarks.plots import fixed_parameters, size_text
from benchmarks.questions.base import Column, Question, decimals

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.results import Report, Row


_ANY_WIDTH = 1000


@attrs.frozen
class Grid:
    """A report's rows as text.

    Attributes:
        fixed: parameters that never change, with their values.
        headers: of all columns.
        engine_column: which column names the engine.
        groups: runs of rows with the same parameters.
    """

    fixed: str
    headers: list[str]
    engine_column: int
    groups: list[list[list[str | Text]]]

    @classmethod
    def of(cls, question: Question, report: Report) -> Grid:
        """Lay out a report."""
        fixed = fixed_parameters(report.rows)
        names = [name for name in (report.rows[0].parameters if report.rows else {}) if name not in fixed]
        headers = [*names, "engine", *(column.header for column in question.columns)]
        has_latency = any(row.latency is not None for row in report.rows)
        if has_latency:
            headers += [f"{name} ms" for name in PERCENTILES]
        if question.compare is not None and len(report.engines) > 1:
            headers.append("ours ÷ this" if question.compare[1] else "this ÷ ours")
        groups: list[list[list[str | Text]]] = []
        last: list[object] | None = None
        for row in report.rows:
            group: list[object] = [row.parameters[name] for name in names]
            if group != last:
                groups.append([])
            last = group
            groups[-1].append(_cells(question, report, row, names, has_latency))
        shown = ", ".join(f"{name} {size_text(value)}" for name, value in fixed.items())
        return cls(shown, headers, len(names), groups)


def make_table(question: Question, report: Report) -> Table:
    """The rows of a report, grouped by their parameters; parameters that never change stand below."""
    grid = Grid.of(question, report)
    table = Table(
        title=question.asks, caption=grid.fixed or None, title_justify="left", caption_justify="left", box=SIMPLE
    )
    for number, header in enumerate(grid.headers):
        table.add_column(header, justify="left" if number == grid.engine_column else "right", no_wrap=True)
    for group in grid.groups:
        for cells in group:
            table.add_row(*cells)
        table.add_section()
    return table


def make_blocks(question: Question, report: Report) -> Iterator[Padding | Text]:
    """The same for a terminal that is too narrow for the table: a block for each row."""
    grid = Grid.of(question, report)
    yield Text(question.asks, style="italic")
    for group in grid.groups:
        for cells in group:
            named = [
                Text.assemble((header, "bright_black"), " ", cell)
                for header, cell in zip(grid.headers, cells, strict=True)
                if str(cell)
            ]
            parameters, engine = named[: grid.engine_column], cells[grid.engine_column]
            yield Text("  ").join([Text.assemble(engine), *parameters])
            yield Padding(Columns(named[grid.engine_column + 1 :], padding=(0, 3)), (0, 0, 0, 4))
    if grid.fixed:
        yield Text(grid.fixed, style="italic")


def markdown(question: Question, report: Report) -> str:
    """The same table for a document, and what one must know to believe it."""
    grid = Grid.of(question, report)
    rules = [":--" if number == grid.engine_column else "--:" for number in range(len(grid.headers))]
    lines = ["| " + " | ".join(cells) + " |" for cells in (grid.headers, rules)]
    for group in grid.groups:
        for cells in group:
            texts = [str(cell) for cell in cells]
            if isinstance(cell := cells[grid.engine_column], Text) and cell.style:
                texts[grid.engine_column] = f"**{cell}**"
            lines.append("| " + " | ".join(texts) + " |")
    settings = report.settings
    how = f"{settings['rounds']} rounds of {settings['seconds']:g} s after {settings['warmup_s']:g} s of warm-up"
    on = report.machine
    lines += ["", f"Medians (lowest–highest) of {how}; {grid.fixed}." if grid.fixed else f"Medians of {how}."]
    python = str(on["python"]).split()[-1]
    lines.append(
        f"{report.when[:10]}, {on['cpu']}, {on['cores']} cores, {on['system']}, Python {python}, "
        f"SQLite {on['sqlite']}, {on['file_system']}, load average before {on['load_average_before']}."
    )
    lines += [f"Not measured: {name} ({reason})." for name, reason in report.skipped.items()]
    return "\n".join(lines) + "\n"


def _cells(question: Question, report: Report, row: Row, names: Sequence[str], has_latency: bool) -> list[str | Text]:
    cells: list[str | Text] = [size_text(row.parameters[name]) for name in names]
    cells.append(Text(row.label, style="bold" if row.engine == "raft_actors" else ""))
    cells += [_value(column, row) for column in question.columns]
    if has_latency:
        cells += [decimals(row.latency.percentiles[name]) if row.latency else "–" for name in PERCENTILES]
    if question.compare is not None and len(report.engines) > 1:
        cells.append(_comparison(question.compare, report, row))
    return cells


def _value(column: Column, row: Row) -> Text | str:
    if column.value not in row.values:
        return "–"
    spread = row.values[column.value]
    if not column.spread or spread.low == spread.high:
        return column.text(spread.median)
    return Text.assemble(
        column.text(spread.median), (f"  {column.text(spread.low)}–{column.text(spread.high)}", "bright_black")
    )


def _comparison(compare: tuple[str, bool], report: Report, row: Row) -> str:
    value, more_is_better = compare
    ours = [each for each in report.select(**row.parameters) if each.engine == "raft_actors"]
    if row.engine == "raft_actors" or not ours or value not in row.values:
        return ""
    mine, theirs = ours[0].median(value), row.median(value)
    if not mine or not theirs:
        return ""
    ratio = mine / theirs if more_is_better else theirs / mine
    return f"{ratio:.2f}"


def show(console: Console, question: Question, report: Report) -> None:
    """Print the table, and all that one must know to believe it."""
    if report.rows:
        table = make_table(question, report)
        # Asked for what it would take if there were room: else it says that it can do with less, and cuts its cells.
        fits = console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum <= console.width
        for part in (table,) if fits else make_blocks(question, report):
            console.print(part)
    for engine in report.engines:
        console.print(
            Text.assemble((engine["label"], "bold"), f": {engine['durability']}; {engine['settings']} "),
            Text(f"({engine['version']})", style="bright_black"),
            soft_wrap=True,
        )
    for note in question.notes:
        console.print(note, style="bright_black", soft_wrap=True)
    for name, reason in report.skipped.items():
        console.print(f"skipped {name}: {reason}", style="yellow", soft_wrap=True, markup=False)
    for name, reason in report.failures.items():
        console.print(f"failed: {name}: {reason}", style="red", soft_wrap=True, markup=False)
