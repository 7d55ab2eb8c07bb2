"""CONTRIBUTING.md, docs/releasing.md and the issue forms speak of what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT

GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "releasing.md"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PATH = re.compile(r"`((?:raft|node|actors|observe|persistence|transports|tests|docs|benchmarks|raft_actors)/[\w./*]*)`")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_file_that_is_named_is_there(guide: Path) -> None:
    paths = PATH.findall(guide.read_text(encoding="utf-8"))
    assert paths
    missing = [name for name in paths if not any(list(base.glob(name)) for base in (ROOT, ROOT / "raft_actors"))]
    assert missing == []


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda path: path.stem)
def test_forms_for_what_goes_wrong_ask_for_the_seed(form: Path) -> None:
    assert ("    id: seed\n" in form.read_text(encoding="utf-8")) == (form.stem != "feature")
