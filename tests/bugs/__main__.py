"""Show each bug of docs/bugs.md on the commit before its fix: `python -m tests.bugs`, or `… "words of its title"`.

The tests of the fixing commit are laid over the commit before it, in a worktree of its own, and run there. What is
written: *shown* (a test fails or hangs there), *passes there* (it needs more than the code of before to fail: another
Python, a broken disk), *can't run there* (it imports what only the fix brought, so it shows nothing of behaviour).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bugs.history import ROOT, Bug, Fix, bugs, fixes, git

TIMEOUT_S = 90.0
HEAD = """# Bugs, each on the commit before its fix

`python -m tests.bugs` (`make bugs`) checks out the commit before each fix, puts the tests of the fixing commit over it, and runs them; with
words of a title, for that bug alone. `--table` writes this table, and `--new` runs only the bugs that are not in it yet. [bugs.md](bugs.md)
says what each bug was.

Of {all} bugs {shown} are shown in this way. *Can't run there*: the test imports or calls something that only the fix brought, so its
failure would not show the bug. *Passes there*: the test needs something that this machine does not have (another Python, another
user), or the fix came before its test. *By a mutant*: instead, the tests put the bug back into today's code.

| bug | command | fixed by | there |
| :-- | :-- | :-- | :-- |
"""  # noqa: E501 - a document's lines
TABLE = ROOT / "docs" / "bug-table.md"


def shown(folder: Path, fix: Fix) -> str:
    """What becomes of the fix's test on the commit before it."""
    git("checkout", "--quiet", "--force", "--detach", f"{fix.commit}~", folder=folder)
    git("clean", "--quiet", "--force", "-d", folder=folder)
    git("checkout", "--quiet", fix.commit, "--", "tests", folder=folder)
    for name in ("transports", "persistence"):  # as a checkout without links needs it; harmless where they are there
        link = folder / "raft_actors" / name
        if not link.exists():
            link.symlink_to(Path("..") / name)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, fix.target],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return "shown: hangs"
    return verdict(done.returncode, done.stdout + done.stderr)


def verdict(code: int, output: str) -> str:
    """What a run of pytest says of the bug."""
    if code == 0:
        return "passes there" if " passed" in output else "skipped here"
    if re.search(
        r"^(E\s+)?(ImportError|ModuleNotFoundError)|error(s)? during collection|unexpected keyword",
        output,
        re.MULTILINE,
    ):
        return "can't run there"
    return "shown: fails" if code == 1 else "can't run there"


def rows(chosen: list[Bug], folder: Path) -> Iterator[tuple[Bug, str, str]]:
    """Each bug with the subject of its fix, and what its tests say before it; the first that shows it is enough."""
    for bug in chosen:
        results: dict[str, str] = {}
        for fix in fixes(bug):
            result = shown(folder, fix)
            results.setdefault(result, fix.subject)
            if result.startswith("shown"):
                break
        if not results:
            yield bug, "", "by a mutant of today’s code" if bug.mutants else "by no test"
            continue
        best = min(
            results, key=["shown: fails", "shown: hangs", "passes there", "skipped here", "can't run there"].index
        )
        yield bug, results[best], best


def known() -> dict[str, tuple[str, str]]:
    """The rows of the document: title → subject of the fix, and result."""
    row = re.compile(r"^\| (.*?) \| `python -m tests\.bugs .*?` \| (.*?) ?\| (.*?) \|$", re.MULTILINE)
    return {title: (subject, result) for title, subject, result in row.findall(TABLE.read_text(encoding="utf-8"))}


def table(lines: list[tuple[Bug, str, str]]) -> str:
    """The document: these rows, and of all other bugs the ones that it has."""
    found = {**known(), **{bug.title: (subject, result) for bug, subject, result in lines}}
    rows = [(bug, *found[bug.title]) for bug in bugs() if bug.title in found]
    count = sum(result.startswith("shown") for _, _, result in rows)
    text = HEAD.format(all=len(rows), shown=count).splitlines()
    for bug, subject, result in rows:
        text.append(f'| {bug.title} | `python -m tests.bugs "{bug.name}"` | {subject} | {result} |')
    return "\n".join(text) + "\n"


def main() -> int:
    """Run them; 1 if one that is named is not shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="?", default="", help="only bugs whose title has these words")
    parser.add_argument("--new", action="store_true", help="only bugs that the table does not have")
    parser.add_argument("--table", action="store_true", help=f"write what is found into {TABLE.relative_to(ROOT)}")
    options = parser.parse_args()
    rowed = known() if options.new else {}
    chosen = [bug for bug in bugs() if options.words.lower() in bug.name and bug.title not in rowed]
    if not chosen and options.new:
        print("the table has all bugs")
        return 0
    if not chosen:
        parser.error(f"no bug is called {options.words!r}")
    lines: list[tuple[Bug, str, str]] = []
    with tempfile.TemporaryDirectory(prefix="raft-actors-bugs-") as name:
        folder = Path(name) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(folder), "HEAD")
        try:
            begin = time.monotonic()
            for line in rows(chosen, folder):
                lines.append(line)
                print(f"{time.monotonic() - begin:6.0f} s  {line[2]:30} {line[0].title}", flush=True)
        finally:
            git("worktree", "remove", "--force", str(folder))
    if options.table:
        TABLE.write_text(table(lines), encoding="utf-8")
    return 0 if not options.words or all(result.startswith("shown") for _, _, result in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
