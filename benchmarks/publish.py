"""Results in the documents: tables between markers, and plots beside them.

A document has a place for each folder of results, `<!-- table: NAME -->` and `<!-- end -->` on lines of their own, NAME
being the folder's; what stands between them is replaced. Plots are copied as SVG. So no figure in a document was typed
by hand.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

_PLACE = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def publish(results: Sequence[Path], documents: Sequence[Path], plots: Path) -> Iterator[Path]:
    """Put the tables of some result folders into the documents that have a place for them, and copy the plots.

    Yields:
        each file that was written.
    """
    tables = {folder.name: path.read_text(encoding="utf-8") for folder in results for path in folder.glob("*.md")}

    def fill(place: re.Match[str]) -> str:
        table = tables.get(place["name"])
        return place[0] if table is None else f"{place[1]}\n{table}\n{place[3]}"

    for document in documents:
        before = document.read_text(encoding="utf-8")
        after = _PLACE.sub(fill, before)
        if after != before:
            document.write_text(after, encoding="utf-8")
            yield document
    plots.mkdir(parents=True, exist_ok=True)
    for folder in results:
        for path in sorted(folder.glob("*.svg")):
            yield Path(shutil.copy(path, plots / path.name))
