from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main, make_parser, make_settings
from benchmarks.engines import ENGINES
from benchmarks.questions import QUESTIONS


def test_without_a_question_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert max(map(len, listed.splitlines())) <= 80
    assert "publish" in listed
    for question in QUESTIONS.values():
        assert question.name in listed
        for word in question.asks.split():
            assert word in listed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["commit", "--proposers", "1,x"], "'1,x' is no list of whole numbers"),
        (["commit", "--proposers", "0"], "each number must be from 1"),
        (["commit", "--proposers", ""], "is no list of whole numbers"),
        (["commit", "--storage", "tape"], "'tape' is not among disk, memory"),
        (["commit", "--engines", "raft_actors,zab"], "'zab' is not among raft_actors"),
        (["commit", "--rounds", "0"], "no positive number"),
        (["commit", "--rounds", "1.5"], "no whole number"),
        (["commit", "--seconds", "nan"], "no positive number"),
        (["commit", "--folder", "/no/such/folder"], "there is no folder '/no/such/folder'"),
        (["idle", "--proposers", "1"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("quick", [True, False])
def test_every_question_plans_distinct_cases_that_its_engines_can_do(name: str, quick: bool, tmp_path: Path) -> None:
    question = QUESTIONS[name]
    arguments = make_parser().parse_args([name, *(["--quick"] if quick else [])])
    settings = make_settings(question, arguments, tmp_path)
    cases = question.plan(settings, list(ENGINES.values()))
    assert cases
    names = [str(case) for case in cases]
    assert len(set(names)) == len(names)
    for case in cases:
        assert case.word("storage") in case.engine.storages
        assert str(case.parameters.get("mode", "await")) in case.engine.modes
    # A plot's colours tell the engines apart.
    assert len({engine.colour for engine in ENGINES.values()}) == len(ENGINES)


def test_options_replace_defaults(tmp_path: Path) -> None:
    question = QUESTIONS["commit"]
    arguments = make_parser().parse_args(["commit", "--vary", "payload", "--payload", "16,1_024", "--proposers", "8"])
    cases = question.plan(make_settings(question, arguments, tmp_path), [ENGINES["raft_actors"]])
    assert [(case.number("payload"), case.number("proposers")) for case in cases] == [(16, 8), (1024, 8)]
