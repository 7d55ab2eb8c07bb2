"""The command line: `python -m benchmarks` lists the questions, `python -m benchmarks commit` answers one."""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Option, Parameter, Settings
from benchmarks.engines import ENGINES, HERE, ROOT
from benchmarks.publish import publish
from benchmarks.questions import QUESTIONS
from benchmarks.questions.base import Question
from benchmarks.run import answer

_LARGEST = 10**9
#: A file has room for whole tables.
_WIDTH_OF_FILES = 150


def _list_of(option: Option, text: str) -> tuple[Parameter, ...]:
    """Read `a,b,c`.

    Raises:
        ArgumentTypeError: it is not what the option takes.
    """
    words = text.split(",")
    if option.choices is not None:
        if unknown := [word for word in words if word not in option.choices]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)!r} is not among {', '.join(option.choices)}")
        return tuple(words)
    try:
        numbers = tuple(int(word.replace("_", "")) for word in words)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers like 1,64,256") from None
    if not all(0 < number <= _LARGEST for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: each number must be from 1 to {_LARGEST:,}")
    return numbers


def _engines(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in ENGINES]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)!r} is not among {', '.join(ENGINES)}")
    return names


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < _LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def _count(text: str) -> int:
    value = _positive(text)
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(value)


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return path.absolute()


def make_parser() -> argparse.ArgumentParser:
    """The command line, one sub-command for each question."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Without a question: list the questions.")
    commands = parser.add_subparsers(dest="question", metavar="question")
    for question in QUESTIONS.values():
        command = commands.add_parser(question.name, help=question.asks, description=question.asks)
        command.add_argument("--quick", action="store_true", help="only see that everything works: figures mean little")
        command.add_argument(
            "--engines",
            type=_engines,
            default=question.engines,
            metavar="A,B",
            help=f"which engines ({','.join(question.engines)})",
        )
        command.add_argument("--rounds", type=_count, help=f"measure each case this often ({question.rounds})")
        command.add_argument("--seconds", type=_positive, help=f"length of a load ({question.seconds})")
        command.add_argument("--warmup", type=_positive, help=f"seconds before it counts ({question.warmup_s})")
        command.add_argument("--folder", type=_folder, help="where nodes keep their data (a new folder on a disk)")
        command.add_argument("--output", type=Path, help="where results go (benchmarks/results/<question>-<time>)")
        for option in question.options:
            default = ",".join(str(value) for value in option.default)
            command.add_argument(
                f"--{option.name.replace('_', '-')}",
                type=partial(_list_of, option),
                metavar="A,B",
                help=f"{option.says} ({default})",
            )
    command = commands.add_parser(
        "publish",
        help="put results into the documents",
        description="Put tables and plots of results into the documents that have a place for them.",
    )
    command.add_argument("results", type=_folder, nargs="+", help="folders with a question's results")
    command.add_argument(
        "--documents", type=Path, nargs="+", default=[ROOT / "README.md", ROOT / "docs/performance.md"]
    )
    command.add_argument("--plots", type=Path, default=ROOT / "docs/plots", help="where plots go")
    return parser


def make_settings(question: Question, arguments: argparse.Namespace, folder: Path) -> Settings:
    """What the arguments say, with the question's defaults for the rest."""
    quick: bool = arguments.quick
    given = vars(arguments)
    values: dict[str, tuple[Parameter, ...]] = {}
    for option in question.options:
        value: tuple[Parameter, ...] | None = given[option.name]
        values[option.name] = value if value is not None else option.quick if quick else option.default
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Settings(
        folder=folder,
        output=(arguments.output or HERE / "results" / f"{question.name}-{stamp}").absolute(),
        rounds=arguments.rounds or (1 if quick else question.rounds),
        warmup_s=arguments.warmup or (0.2 if quick else question.warmup_s),
        seconds=arguments.seconds or (0.5 if quick else question.seconds),
        values=values,
        quick=quick,
    )


@contextmanager
def _data_folder(chosen: Path | None) -> Generator[Path]:
    """The folder that was chosen, or a temporary one beside the results: /tmp is often no disk."""
    if chosen is not None:
        yield chosen
        return
    (HERE / "results").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".data-", dir=HERE / "results"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _list_questions(console: Console) -> None:
    console.print("python -m benchmarks <question> [--quick] [--help]\n", markup=False, highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for question in QUESTIONS.values():
        table.add_row(question.name, question.asks)
    table.add_row("publish", "Put the results of these folders into the documents.")
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code: 1 where something could not be measured."""
    parsed = make_parser().parse_args(arguments)
    console = Console()
    if parsed.question is None:
        _list_questions(console)
        return 0
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_FILES)
    if parsed.question == "publish":
        for path in publish(parsed.results, parsed.documents, parsed.plots):
            console.print(f"wrote {path}", soft_wrap=True, markup=False, highlight=False)
        return 0
    question = QUESTIONS[parsed.question]
    with _data_folder(parsed.folder) as folder:
        settings = make_settings(question, parsed, folder)
        report = trio.run(answer, question, settings, parsed.engines, console)
    return 1 if report.failures or not report.rows else 0


if __name__ == "__main__":
    sys.exit(main())
