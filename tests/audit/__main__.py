"""`make audit ADVISORIES=all.zip`: which of the pinned packages have known vulnerabilities. No network is needed."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.audit.advisories import advisories, audit, pinned


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    parser.add_argument("advisories", type=Path, help="OSV's export for PyPI (all.zip), or a folder of its documents")
    parser.add_argument("--constraints", type=Path, default=Path("constraints.txt"), help="the versions to look at")
    options = parser.parse_args()
    if not options.advisories.exists():
        parser.error(f"{options.advisories}: there is no such file: fetch OSV's export for PyPI (all.zip) first")
    packages = pinned(options.constraints.read_text(encoding="utf-8"))
    found = audit(packages, advisories(options.advisories))
    for finding in found:
        print(f"{finding.package} {finding.version}: {finding.advisory} {finding.summary}".rstrip())
    print(f"{len(packages)} packages, {len(found)} findings")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
