"""No public name or signature changes without being seen."""

from __future__ import annotations

import difflib

from tests.unit.public_api import REWRITE, SNAPSHOT, public_api


def test_the_public_api_is_the_one_that_is_written_down() -> None:
    written, found = SNAPSHOT.read_text(encoding="utf-8"), public_api()
    difference = "\n".join(difflib.unified_diff(written.splitlines(), found.splitlines(), n=1, lineterm=""))
    assert written == found, f"if that is what you want: {REWRITE}, and a line in CHANGELOG.md\n{difference}"
