"""The audit finds what an advisory concerns, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.audit.advisories import audit, pinned
from tests.docs.test_readme import ROOT


def advisory(*events: dict[str, str], name: str = "Some.Package", **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": more.pop("ecosystem", "PyPI"), "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
        "versions": more.pop("versions", []),
    }
    return {"id": "X-1", "summary": "bad", "affected": [affected], **more}


FROM_1, UNTIL_2 = {"introduced": "1"}, {"fixed": "2.0"}


@pytest.mark.parametrize(
    ("version", "document", "concerned"),
    [
        ("1.5", advisory(FROM_1, UNTIL_2), True),
        ("2.0", advisory(FROM_1, UNTIL_2), False),
        ("2.0rc1", advisory(FROM_1, UNTIL_2), True),
        ("0.9", advisory(FROM_1, UNTIL_2), False),
        ("1.10", advisory({"introduced": "1.9"}), True),
        ("3.1", advisory(FROM_1, UNTIL_2, {"introduced": "3"}), True),
        ("1.5", advisory({"introduced": "0"}, {"last_affected": "1.5"}), True),
        ("1.6", advisory({"introduced": "0"}, {"last_affected": "1.5"}), False),
        ("1.6", advisory(versions=["1.6"]), True),
        ("1.5", advisory(FROM_1, withdrawn="2020-01-01T00:00:00Z"), False),
        ("1.5", advisory(FROM_1, ecosystem="npm"), False),
        ("1.5", advisory(FROM_1, name="other"), False),
    ],
)
def test_ranges(version: str, document: dict[str, Any], concerned: bool) -> None:
    found = audit({"some-package": version}, iter([document]))
    assert [finding.advisory for finding in found] == ["X-1"] * concerned


def test_every_pinned_package_is_looked_at() -> None:
    packages = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert packages["pyyaml-ft"]
    assert len(packages) > 60


@pytest.mark.parametrize(("fixed", "code"), [("0.1", 0), ("9999", 1)])
def test_the_command_says_what_it_found(tmp_path: Path, fixed: str, code: int) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("X-1.json", json.dumps(advisory({"introduced": "0"}, {"fixed": fixed}, name="Trio")))
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit", str(tmp_path / "all.zip")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert f"{code} findings" in done.stdout
