"""The check of the documentation's site finds what is wrong with one; `make docs` builds the real one and runs it."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from docs.check_site import INTERNAL, PUBLIC, broken_links, undocumented
from tests.docs.test_readme import ROOT

PAGE = '<a href="other.html#there">x</a><p id="here"><a href="#here">y</a><img src="picture.svg">'
OTHER = '<h1 id="there">There</h1><a href="https://example.org/page">out</a>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "other.html").write_text(OTHER, encoding="utf-8")
    (tmp_path / "picture.svg").write_text("<svg/>", encoding="utf-8")
    return tmp_path


def test_a_whole_site_has_no_fault(site: Path) -> None:
    assert broken_links(site) == []


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("gone.html", "leads to no file"),
        ("other.html#gone", "leads to no heading"),
        ("#gone", "leads to no heading"),
        ("http://localhost:8000/", "is no address"),
    ],
)
def test_a_link_that_leads_nowhere_is_told_with_its_page(site: Path, link: str, fault: str) -> None:
    (site / "third.html").write_text(f'<a href="{link}">z</a>', encoding="utf-8")
    assert broken_links(site) == [f"third.html: {link} {fault}"]


def test_what_the_reference_lacks_is_told_down_to_methods_of_base_classes(site: Path) -> None:
    (site / "reference").mkdir()
    page = '<dt id="raft_actors.Node"><dt id="raft_actors.Node.propose">'
    (site / "reference" / "raft_actors.html").write_text(page, encoding="utf-8")
    missing = {line.removesuffix(" is not in the reference") for line in undocumented(site)}
    assert {"raft_actors.open_node", "raft_actors.Node.status", "raft_actors.Node.read"} <= missing
    assert {"raft_actors.StateMachine.commands", "raft_actors.RoleName.LEADER"} <= missing
    assert not {"raft_actors.Node", "raft_actors.Node.propose", "raft_actors.Overloaded.add_note"} & missing
    assert "raft_actors.Session.propose" in missing
    assert "raft_actors.Session.propose_encoded" not in missing, "only the library calls it"


def test_what_is_left_out_of_the_reference_is_there() -> None:
    """An entry that outlives its method would leave out another one of that name later."""
    packages = (*PUBLIC, "raft_actors.testing.stateful", "raft_actors.actors.pending")
    classes = {
        name: member
        for package in packages
        for name, member in inspect.getmembers(importlib.import_module(package), inspect.isclass)
    }
    gone = [f"{owner}.{name}" for owner, names in INTERNAL.items() for name in names if not known(classes[owner], name)]
    assert gone == []


def known(owner: type, name: str) -> bool:
    return hasattr(owner, name) or any(name in inspect.get_annotations(base) for base in owner.__mro__)


def test_each_document_of_the_repository_has_its_page() -> None:
    """docs/conf.py lists them; a document that is forgotten would be linked to as a download."""
    text = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    documents = [*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md", ROOT / "findings" / "README.md"]
    assert [path.name for path in documents if f'"{path.relative_to(ROOT).as_posix()}"' not in text] == []
    examples = {path.parent.name for path in (ROOT / "examples").glob("*/README.md")}
    assert {path.stem for path in (ROOT / "docs" / "examples").glob("*.md")} == examples
