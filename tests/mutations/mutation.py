"""Mutations: small, named changes of the engine, each of which breaks one rule."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from functools import partial

import attrs


class DoesNotApply(Exception):
    """A mutation's old text is not in the source, or not just once: bring the mutation up to date."""


def _unindented(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


@attrs.frozen
class Edit:
    """A piece of text to replace.

    Attributes:
        file: path within the package, such as "raft/roles/leader.py".
        within: the function or class that the text stands in, such as "Leader.start"; "" for the whole file.
        old: text that must be there exactly once. Its first line may begin in the middle of a line of the source; all
            that follow are indented relative to that line.
        new: what takes its place, indented likewise.
    """

    file: str
    within: str
    old: str = attrs.field(converter=_unindented)
    new: str = attrs.field(converter=_unindented)

    def apply(self, source: str) -> str:
        """Return the changed source of the file.

        Raises:
            DoesNotApply: the text is not there once.
        """
        start, end = self._bounds(source)
        places = _places(source, self.old.split("\n")[0], start, end)
        found = [place for place in places if self._stands_at(source, place)]
        if len(found) != 1:
            where = f"{self.file}, {self.within}" if self.within else self.file
            raise DoesNotApply(f"in {where} this text is there {len(found)} times, not once:\n{self.old}")
        place = found[0]
        indent = _indent_at(source, place)
        changed = source[:place] + _indented(self.new, indent) + source[place + len(_indented(self.old, indent)) :]
        try:
            same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
        except SyntaxError as error:
            raise DoesNotApply(f"the change makes {self.file} no Python: {error}") from error
        if same:
            raise DoesNotApply(f"the change makes no difference to {self.file}")
        return changed

    def _stands_at(self, source: str, place: int) -> bool:
        return source.startswith(_indented(self.old, _indent_at(source, place)), place)

    def _bounds(self, source: str) -> tuple[int, int]:
        """Where `within` begins and ends."""
        if not self.within:
            return 0, len(source)
        node: ast.AST = ast.parse(source)
        for name in self.within.split("."):
            node = self._definition(node, name)
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.end_lineno is None:
            raise DoesNotApply(f"{self.within} in {self.file} is neither a class nor a function")
        lines = source.splitlines(keepends=True)
        return sum(map(len, lines[: node.lineno - 1])), sum(map(len, lines[: node.end_lineno]))

    def _definition(self, node: ast.AST, name: str) -> ast.AST:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name == name:
                return child
        raise DoesNotApply(f"{self.file} has no {self.within}")


@attrs.frozen(kw_only=True)
class Mutation:
    """A way in which the engine could be wrong.

    Attributes:
        name: of a few words with hyphens.
        breaks: the rule that no longer holds.
        source: where the rule is written: a section of the Raft paper, unless it says what else.
        edits: what to change.
        profile: what its seeds are about; None: drawn, as with most.
        scenario: a test of the suite, as pytest names it, that catches it in place of seeds: what it takes comes about
            too rarely in drawn plans. One of whole clusters in simulated time, not of a piece alone. "": seeds do.
    """

    name: str
    breaks: str
    source: str
    edits: tuple[Edit, ...]
    profile: str | None = None
    scenario: str = ""

    def apply(self, read: Callable[[str], str]) -> dict[str, str]:
        """Return the changed source of each file that it changes; `read` gives the present one.

        Raises:
            DoesNotApply: the source has changed too much. The message names the mutation.
        """
        changed: dict[str, str] = {}
        for edit in self.edits:
            try:
                changed[edit.file] = edit.apply(changed.get(edit.file) or read(edit.file))
            except DoesNotApply as error:
                raise DoesNotApply(f"mutation {self.name!r} does not apply: {error}") from error
        return changed


def mutation(
    name: str, breaks: str, source: str, *edits: Edit, profile: str | None = None, scenario: str = ""
) -> Mutation:
    """Make one."""
    return Mutation(name=name, breaks=breaks, source=source, edits=edits, profile=profile, scenario=scenario)


def in_scenario(test: str) -> Callable[..., Mutation]:
    """Makes those that a scenario of the tests is to notice: its path and name."""
    return partial(mutation, scenario=test)


def _indented(text: str, indent: str) -> str:
    first, *others = text.split("\n")
    return "\n".join([first, *(indent + line if line else line for line in others)])


def _indent_at(source: str, place: int) -> str:
    """The indentation of the line that a place is in."""
    line = source[source.rfind("\n", 0, place) + 1 :]
    return line[: len(line) - len(line.lstrip(" "))]


def _places(source: str, text: str, start: int, end: int) -> list[int]:
    places: list[int] = []
    place = source.find(text, start, end)
    while place >= 0:
        places.append(place)
        place = source.find(text, place + 1, end)
    return places
