"""Is the site whole: does each link within it lead to what is there, and is each public name documented?

`python docs/check_site.py build/docs` prints what is wrong, one a line; links to other sites are only looked at, not
followed, for nothing here needs a network.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
import types
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CALLED_OR_READ = (types.FunctionType, property, classmethod, staticmethod)
PUBLIC = ("raft_actors", "raft_actors.transports", "raft_actors.persistence", "raft_actors.testing")

#: What only the library calls on objects that applications get or subclass: class → members, and `__init__` where an
#: application gets the object ready made. Not in the reference (docs/conf.py), and no part of what is kept compatible.
INTERNAL = {
    "AppliedLog": {"__init__"},
    "Call": {"__init__"},
    "Client": {"__init__"},
    "ClusterConfig": {"skipped_text"},
    "ClusterMachine": {
        *("call", "crash", "disk", "heal", "network", "pace", "read", "snapshot", "start", "start_cluster", "wait"),
        "teardown",
    },
    "EventChannel": {"__init__", "close", "put"},
    "Facts": {"__init__"},
    "Faults": {"draw"},
    "FaultyCluster": {"__init__", "final_checks", "gate"},
    "Invariant": {"attach"},
    "Leadership": {"__init__", "belongs_to", "end"},
    "Life": {"__init__", "is_as_seen", "see"},
    "LinkStatistics": {"add"},
    "MembershipChanged": {"of"},
    "MemoryNetwork": {"carry", "hang_up"},
    "MemoryStorage": {"finish", "lose_power"},
    "MemoryTransport": {"__init__", "accept", "clients", "endpoint", "is_the_one", "takes"},
    "Pending": {"until_done"},
    "PendingProposal": {"__init__", "answer", "cut", "fail", "kind", "resolve", "until_done"},
    "RaftClient": {"__init__", "run"},
    "Session": {"__init__", "is_ready", "propose_encoded", "wait_room"},
    "SimulatedCluster": {"__init__", "final_checks"},
    "Simulation": {"__init__", "final_checks", "gate"},
    "TlsConfig": {"files"},
    "Trace": {"told"},
}

STARTS = re.compile(r"https://[\w.-]+\.[a-z]{2,}(/|$)|mailto:")


class Page(HTMLParser):
    """One page: the targets that it has, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.targets.add(value)
            elif value and (name, tag) in {("href", "a"), ("href", "link"), ("src", "img"), ("src", "script")}:
                self.links.append(value)


def broken_links(site: Path) -> list[str]:
    """What the site's links lead to that is not there, each with the page that has the link."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    wrong: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                fault = None if STARTS.match(link) or parts.scheme == "data" else "is no address"
            else:
                fault = fault_of(path, unquote(parts.path), unquote(parts.fragment), pages)
            if fault is not None:
                wrong.append(f"{path.relative_to(site)}: {link} {fault}")
    return wrong


def fault_of(source: Path, target: str, fragment: str, pages: dict[Path, Page]) -> str | None:
    path = (source.parent / target).resolve() if target else source
    if not path.is_file():
        return "leads to no file"
    if fragment and path in pages and fragment not in pages[path].targets:
        return "leads to no heading"
    return None


def undocumented(site: Path) -> list[str]:
    """Public names, and public methods and properties of public classes, that no page of the reference has."""
    targets: set[str] = set()
    for path in sorted((site / "reference").glob("*.html")):
        targets |= Page(path.read_text(encoding="utf-8")).targets
    names: list[str] = []
    for package in PUBLIC:
        exported = importlib.import_module(package)
        for name in exported.__all__:
            names.append(f"{package}.{name}")
            names += [f"{package}.{name}.{member}" for member in members_of(getattr(exported, name))]
    return [f"{name} is not in the reference" for name in names if name not in targets]


def members_of(exported: Any) -> list[str]:
    """What applications call, read or set on a class of this library, from whichever base class it has it."""
    if not inspect.isclass(exported):
        return []
    members: list[str] = []
    for name in dir(exported):
        owner = next((base for base in exported.__mro__ if name in vars(base)), object)
        if not name.startswith("_") and owner.__module__.startswith("raft_actors"):
            value = vars(owner)[name]
            set_by_classes = str(vars(owner).get("__annotations__", {}).get(name)).startswith("ClassVar")
            if set_by_classes or isinstance(value, (*CALLED_OR_READ, enum.Enum)):
                members.append(name)
    return [name for name in members if name not in INTERNAL.get(exported.__name__, ())]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    site = Path(sys.argv[1]).resolve()
    wrong = broken_links(site) + undocumented(site)
    for line in wrong:
        print(line)
    print(f"{len(list(site.rglob('*.html')))} pages, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
