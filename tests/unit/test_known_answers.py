"""The quorum arithmetic and the changes of members against the answers of another engine.

Its vectors are those of etcd's raft library (etcd-io/raft, commit cdfbeed: `quorum/testdata`, `confchange/testdata`). A
table here has one line for each of theirs, in this file's own notation; the values were compared with theirs by a
script: `quorum` gives the same answer to all 127, and a change of members to 52 of 58. The other six are differences
that are meant, and have a test of their own below.

The notation: voters are letters; a joint configuration is `old/new`. What they said follows in the order of the letters
that come first: for a commit, how far each has acknowledged, as ranks, for only the order counts; for a vote, `y` or
`n`; `-` where nothing was heard. After the equals sign stands what it comes to.
"""

from __future__ import annotations

import math

import pytest

from raft_actors.errors import ChangeRefused, ConfigurationError
from raft_actors.raft.membership import Configuration, Member, begin_change, next_configuration
from raft_actors.raft.quorum import VoteResult, committed_index, vote_result

COMMITTED = {
    "one": "a -=0  a 1=1  a/a -=0  a/a 1=1",
    "two": "ab --=0  ab 1-=0  ab 21=1  ab/ab --=0  ab/ab -1=0  ab/ab 21=1",
    "three": "abc ---=0  abc 1--=0  abc 21-=1  abc 11-=1  abc 112=1  abc 321=2  abc 123=2  abc 312=2",
    "three, joint with themselves or nobody": "abc/abc 21-=1  abc/ 231=2",
    "five": "abcde 1322-=2  abcde 1233-=2",
    "one to another one": "a/b --=0  a/b 1-=0  a/b 12=1",
    "two to one of them": "ab/b --=0  ab/b 1-=0  ab/b -1=0  ab/b 12=1  ab/b 21=1",
    "two to another one": "ab/c ---=0  ab/c 1--=0  ab/c 2-1=0  ab/c 312=1",
    "two to two, one stays": "ab/bc ---=0  ab/bc 1--=0  ab/bc -1-=0  ab/bc -21=0  ab/bc 321=1",
    "two to two others": "ab/cd 1---=0  ab/cd 2-1-=0  ab/cd 312-=0  ab/cd 4231=1",
    "three to three, two stay": (
        "abc/bcd ----=0  abc/bcd 1--2=0  abc/bcd -21-=1  abc/bcd 221-=1  abc/bcd 21-3=1  abc/bcd 132-=2  abc/bcd 3321=2"
    ),
    "three to three, one stays": (
        "abc/ade -----=0  abc/ade 1----=0  abc/ade 12---=0  abc/ade 121--=0  abc/ade -3-21=0  abc/ade -3221=1"
        "  abc/ade 33221=2  abc/ade 14332=2"
    ),
    "three to three others": (
        "abc/def ------=0  abc/def 1-----=0  abc/def 21----=0  abc/def 2--1--=0  abc/def -4132-=1  abc/def 25143-=2"
        "  abc/def 362541=3"
    ),
}

VOTES = {
    "one": "a -=? a y=won a n=lost a/ -=? a/ y=won a/ n=lost a/a -=? a/a y=won a/a n=lost",
    "two": "ab --=? ab y-=? ab n-=lost ab ny=lost ab yy=won",
    "two, joint with themselves": "ab/ab --=? ab/ab y-=? ab/ab n-=lost ab/ab yn=lost ab/ab nn=lost",
    "three": "abc ---=? abc y--=? abc n--=? abc yn-=? abc yy-=won abc yyn=won abc nn-=lost abc nyn=lost",
    "seven": ("abcdefg yyny---=? abcdefg -yy-nyn=? abcdefg yy-nynn=? abcdefg yyny-ny=won abcdefg yynynnn=lost"),
    "one to another one": "a/b --=? a/b y-=? a/b yy=won a/b n-=lost a/b yn=lost a/b ny=lost a/b nn=lost",
    "two to two, one stays": "ab/bc ---=? ab/bc yy-=? ab/bc yyy=won ab/bc -n-=lost ab/bc yyn=lost",
    "two to two others": (
        "ab/cd ----=? ab/cd y---=? ab/cd yy--=? ab/cd yyyy=won ab/cd yyn-=lost ab/cd yyyn=lost ab/cd yynn=lost"
    ),
    "three to three, two stay": (
        "abc/bcd ----=? abc/bcd -n--=? abc/bcd yy--=? abc/bcd yyn-=? abc/bcd -yy-=won abc/bcd yyny=won"
        " abc/bcd -nn-=lost abc/bcd yynn=lost"
    ),
}


def cases(table: dict[str, str]) -> list[tuple[list[str], dict[str, str], str]]:
    """Each line's cases: the halves, what each voter said that has spoken, and what it comes to."""
    found: list[tuple[list[str], dict[str, str], str]] = []
    for line in table.values():
        words = line.split()
        for halves, said in zip(words[::2], words[1::2], strict=True):
            answers, _, outcome = said.partition("=")
            voters = dict.fromkeys(halves.replace("/", ""))
            heard = {voter: answer for voter, answer in zip(voters, answers, strict=True) if answer != "-"}
            found.append((halves.split("/"), heard, outcome))
    return found


def test_what_is_committed() -> None:
    assert committed_index({}, "") == math.inf
    for halves, heard, outcome in cases(COMMITTED):
        acknowledged = {voter: int(rank) for voter, rank in heard.items()}
        for order in (halves, halves[::-1]):
            assert committed_index(acknowledged, *order) == int(outcome), (halves, heard)


def test_what_votes_come_to() -> None:
    outcomes = {"won": VoteResult.WON, "lost": VoteResult.LOST, "?": VoteResult.PENDING}
    assert vote_result({}, "") is vote_result({}, "", "") is VoteResult.WON
    for halves, heard, outcome in cases(VOTES):
        votes = {voter: answer == "y" for voter, answer in heard.items()}
        for order in (halves, halves[::-1]):
            assert vote_result(votes, *order) is outcomes[outcome], (halves, heard)


def test_there_is_a_case_for_each_of_theirs() -> None:
    assert len(cases(COMMITTED)) + len(cases(VOTES)) + 3 == 127  # and three without voters


# --- changes -----------------------------------------------------------------------------------------------------

CHANGES = (
    # voters and learners before → asked for → in between, where it is joint: new voters / old ones, learners
    "a + → abc + → abc/a +",  # whether the joint configuration is left by itself is no question here: it always is
    "a + → c +ab → c/a +b",  # whoever is named several times counts as named last
    "a + → b +a → b/a +",  # a voter becomes a learner only as the joint configuration is left
    "a + → bc +d → bc/a +d",
    "bc +d → bc +di →",
    "a + → ab + → ab/a +",
    "ab + → b +a → b/ab +",
    "b +a → b + →",
    "b + → bc + → bc/b +",
    "bc + → b + → b/bc +",
    "abc + → ac +b → ac/abc +",
    "ac +b → abc + → abc/ac +",
    "a + → ab +c → ab/a +c",
    "ab +c → a +bcde → a/ab +cde",
    "a +bcde → a + →",
)
"""Their operations on single members are goals here."""


def configuration(text: str) -> Configuration:
    voters, _, learners = text.strip().partition("+")
    return Configuration(frozenset(voters.strip()), frozenset(learners))


def begun(current: Configuration, voters: str, learners: str = "") -> Configuration | None:
    strangers = {*voters, *learners} - current.ids
    told = {one: Member(f"{one}:1") for one in strangers}
    return begin_change(current, voters={*voters}, learners={*learners}, members=told)


@pytest.mark.parametrize("line", CHANGES)
def test_what_a_change_makes_of_a_configuration(line: str) -> None:
    before, asked, between = (part.strip() for part in line.split("→"))
    last, goal, joint = configuration(before), configuration(asked), None
    step = begun(last, "".join(goal.voters), "".join(goal.learners))
    while step is not None:
        last = step
        joint = step if step.is_joint else joint
        step = next_configuration(step, caught_up=step.ids)
    assert (last.voters, last.learners, last.outgoing, last.goal) == (goal.voters, goal.learners, frozenset(), None)
    assert (joint is None) == (not between)
    if joint is not None:
        halves, _, learners = between.partition("+")
        new, _, old = halves.strip().partition("/")
        assert (joint.voters, joint.outgoing, joint.learners) == (frozenset(new), frozenset(old), frozenset(learners))


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="voter"):
        Configuration(frozenset(), {"a"})
    for before, learners in (("ab +c", ""), ("ab +c", "ab"), ("a +bcde", "")):
        with pytest.raises(ChangeRefused, match="nobody would vote"):
            begun(configuration(before), "", learners)
    joint = begun(Configuration({"a"}), "bc", "d")
    while joint is not None and not joint.is_joint:
        joint = next_configuration(joint, caught_up=joint.ids)
    assert joint is not None
    for voters, learners in (("bcl", "d"), ("bc", "do")):
        with pytest.raises(ChangeRefused, match="another change of members is under way"):
            begun(joint, voters, learners)
    assert next_configuration(Configuration({"a"}), caught_up={"a"}) is None  # nothing joint to leave


def test_what_is_meant_to_differ() -> None:
    """Theirs refuses several voters at once outside a joint configuration; here every change of voters is joint.

    And theirs enters a joint configuration without any change where it is told to, which here is none.
    """
    assert begun(Configuration({"a"}), "a") is None
    for voters, learners in (("be", "c"), ("abcd", ""), ("be", "ac")):
        step = begun(configuration("ab +c"), voters, learners)
        while step is not None and not step.is_joint:
            step = next_configuration(step, caught_up=step.ids)
        assert step is not None
        assert step.voter_sets == (frozenset(voters), frozenset("ab"))
