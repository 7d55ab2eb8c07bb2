"""Plays transcripts, and rewrites them: python -m tests.unit.transcripts --rewrite [FILE …]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.unit.transcripts.player import Player

FOLDER = Path(__file__).parent


def main() -> int:
    """See the module's text. Returns 1 where a transcript is not what happens now, and was not rewritten."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.transcripts", description=__doc__)
    parser.add_argument("--rewrite", action="store_true", help="write down what happens now")
    parser.add_argument("files", nargs="*", type=Path, default=sorted(FOLDER.glob("*.txt")), metavar="FILE")
    options = parser.parse_args()
    differs = 0
    for file in options.files:
        before = file.read_text(encoding="utf-8")
        after = Player().play(before)
        if after != before:
            differs += 1
            print(f"{file.name} {'rewritten: read the difference' if options.rewrite else 'differs'}")
            if options.rewrite:
                file.write_text(after, encoding="utf-8")
    return int(differs > 0 and not options.rewrite)


if __name__ == "__main__":
    sys.exit(main())
