"""Answering a question: rounds of cases, so that whatever else the machine does hits every engine alike."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from benchmarks import machine, tables
from benchmarks.cases import Case, Sample, Settings
from benchmarks.cluster import WorkerFailed
from benchmarks.engines import ENGINES, Engine, EngineMissing
from benchmarks.questions.base import Question
from benchmarks.results import Report, describe_engines, describe_settings, rows_of

#: Load average per core from which on figures are not to be trusted.
_BUSY = 0.5


def find_engines(names: Sequence[str]) -> tuple[list[Engine], dict[str, str]]:
    """Of the engines asked for, those that can run here; and why the others can't."""
    ready: list[Engine] = []
    skipped: dict[str, str] = {}
    for name in names:
        engine = ENGINES[name]
        try:
            engine.command()
        except EngineMissing as missing:
            skipped[engine.label] = str(missing)
        else:
            ready.append(engine)
    return ready, skipped


async def answer(question: Question, settings: Settings, engine_names: Sequence[str], console: Console) -> Report:
    """Measure, show and write; a case that fails is reported, and the others go on."""
    engines, skipped = find_engines(engine_names)
    for engine in [one for one in engines if one.only and question.name not in one.only]:
        engines.remove(engine)
        skipped[engine.label] = f"it is there for {', '.join(engine.only)} alone"
    on = machine.describe(settings.folder)
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _warn(on, settings.folder, console)
    done, failures = await _measure_all(question, settings, engines, console)
    report = Report(
        question=question.name,
        asks=question.asks,
        when=when,
        machine=on,
        settings=describe_settings(settings),
        engines=describe_engines(engines),
        skipped=skipped,
        failures=failures,
        rows=rows_of(done),
    )
    tables.show(console, question, report)
    _write(question, report, settings.output, done, console)
    return report


def _warn(on: Mapping[str, str | int | float], folder: Path, console: Console) -> None:
    """Say what makes figures mean less."""
    warnings: list[str] = []
    if machine.is_in_memory(folder):
        kind = on["file_system"]
        warnings.append(f"{folder} is a {kind}: syncing costs nothing there; choose a folder on a disk with --folder")
    load, cores = on["load_average_before"], on["cores"]
    if float(load) > _BUSY * int(cores):
        warnings.append(f"this machine is busy (load average {load} on {cores} cores): compare, and trust no figure")
    for warning in warnings:
        console.print(f"warning: {warning}", style="bold yellow", soft_wrap=True, markup=False)


async def _measure_all(
    question: Question, settings: Settings, engines: Sequence[Engine], console: Console
) -> tuple[list[tuple[Case, Sample]], dict[str, str]]:
    cases = question.plan(settings, engines)
    rounds = range(1, settings.rounds + 1)
    measurements = [(number, case) for number in rounds for case in cases if number == 1 or not case.once]
    done: list[tuple[Case, Sample]] = []
    failures: dict[str, str] = {}
    columns = (
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        task = progress.add_task(question.name, total=len(measurements))
        for round_number, case in measurements:
            doing = f"{question.name} {round_number}/{settings.rounds}: {case}"
            progress.update(task, description=doing)
            if not console.is_terminal:  # where the bar does not show
                console.print(doing, soft_wrap=True, markup=False, highlight=False)
            try:
                done.append((case, await _measure_one(question, settings, case)))
            except WorkerFailed as failure:
                failures[f"{case}, round {round_number}"] = str(failure)
            progress.advance(task)
    order = {id(case): number for number, case in enumerate(cases)}
    done.sort(key=lambda each: order[id(each[0])])
    return done, failures


async def _measure_one(question: Question, settings: Settings, case: Case) -> Sample:
    """Measure a case; of what fails at the same time, one failure is enough."""
    try:
        return await question.measure(settings, case)
    except ExceptionGroup as group:
        failed, rest = group.split(WorkerFailed)
        if failed is None or rest is not None:
            raise
        failure: BaseException = failed
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise WorkerFailed(str(failure)) from group


def _write(
    question: Question, report: Report, output: Path, done: Sequence[tuple[Case, Sample]], console: Console
) -> None:
    output.mkdir(parents=True, exist_ok=True)
    paths = [report.write(output)]
    if report.rows:
        table = output / f"{question.name}.md"
        table.write_text(tables.markdown(question, report), encoding="utf-8")
        paths.append(table)
        for drawing in question.draw(report):
            paths += drawing.write(output)
    for _, sample in done:
        for name, text in sample.texts.items():
            path = output / name
            path.write_text(text, encoding="utf-8")
            paths.append(path)
    for path in dict.fromkeys(paths):
        console.print(f"wrote {path}", style="bright_black", soft_wrap=True, markup=False, highlight=False)
