"""docs/operate/errors.md says of every log line that asks something of an operator what that is, and of no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.tidiness.test_tidiness import ROOT

PRODUCT = ("raft_actors", "transports", "persistence")
# It prints what it finds; nodes of applications don't log by it.
WITHOUT_LOG = "raft_actors/testing"
LEVELS = {"info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR", "critical": "CRITICAL"}
# These end their line with the text that they are given: where it stands among the arguments.
HANDED_ON = {"_tell": 1, "_note_trouble": 0}

Line = tuple[str, str]
"""A level, and the text with … for what differs each time."""


def texts(said: ast.expr) -> list[str]:
    """What an argument may say, as far as it stands there."""
    match said:
        case ast.Constant(value=str(text)):
            return [re.sub(r"%[srd]", "…", text)]
        case ast.JoinedStr(values=parts):
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)]
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one), *texts(other)]
        case ast.BinOp(left=first):
            return [f"{text}…" for text in texts(first)]
        case _:
            return []


def said_by(call: ast.AST) -> Iterator[Line]:
    """A logger's lines, if it is one that is called."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return
    if re.search(r"log(ger|ging)?$", ast.unparse(call.func.value)):
        yield from ((LEVELS[call.func.attr], text) for text in texts(call.args[0]) or [""])


def logged(tree: ast.Module) -> Iterator[Line]:
    """The lines of a module. One whose text can't be found is told by an empty text."""
    helpers: dict[str, Line] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in HANDED_ON:
            helpers.update((node.name, line) for call in ast.walk(node) for line in said_by(call))
    for node in ast.walk(tree):
        yield from (line for line in said_by(node) if line not in helpers.values())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in helpers:
            (level, around), handed_on = helpers[node.func.attr], node.args[HANDED_ON[node.func.attr]]
            yield from ((level, around.removesuffix("…") + text) for text in texts(handed_on))


@cache
def code() -> set[Line]:
    found: set[Line] = set()
    for folder in PRODUCT:
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "log" in text and not path.is_relative_to(ROOT / WITHOUT_LOG):
                found.update(logged(ast.parse(text)))
    return found


def page() -> set[Line]:
    table = (ROOT / "docs/operate/errors.md").read_text(encoding="utf-8").partition("\n## Log lines\n")[2]
    rows = [line.split("|") for line in table.splitlines() if re.match(r"\| (INFO|WARNING|ERROR) ", line)]
    return {(row[1].strip(), text) for row in rows for text in re.findall(r"`([^`]+)`", row[2])}


def fits(told: Line, line: Line) -> bool:
    """Whether the page's line is one of the code, or a part of it."""
    words = [re.escape(part.strip()) for part in told[1].split("…") if part.strip(" :")]
    return told[0] == line[0] and bool(words) and re.search(".*".join(words), line[1]) is not None


def test_each_line_from_warning_on_is_on_the_page() -> None:
    lines, told = {line for line in code() if line[0] != "INFO"}, page()
    assert len(lines) > 25
    assert ("WARNING", "") not in lines, "a log line is not a literal: an operator can't look for it"
    assert sorted(line for line in lines if not any(fits(one, line) for one in told)) == []


def test_each_line_on_the_page_is_one_of_the_code() -> None:
    lines = code()
    assert sorted(one for one in page() if not any(fits(one, line) for line in lines)) == []


def test_nodes_and_their_connections_say_who_speaks() -> None:
    """A process may run several nodes: their lines go by way of a `NodeLog`, not of a module's logger."""
    nameless = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for folder in ("raft_actors/node", "transports")
        for path in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {*LEVELS, "debug"}
        and ast.unparse(call.func.value) in ("logger", "_logger", "logging")
    ]
    assert nameless == []


def test_lines_are_found_in_every_form() -> None:
    source = """
class Speaker:
    def _tell(self, who, what):
        logger.warning("%s: %s", who, what)
    def speak(self):
        self._tell("x", f"closed {self.x}: why")
        self._log.error("ends"
                        " at %d", 5)
        logging.warning(text)
        self._tell("x", "one" if self.x else "two" + self.y)
        parser.error("not a log")
"""
    assert set(logged(ast.parse(source))) == {
        *[("WARNING", text) for text in ("…: closed …: why", "", "…: one", "…: two…")],
        ("ERROR", "ends at …"),
    }
