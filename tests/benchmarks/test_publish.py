"""Results go into documents where those have a place for them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.__main__ import main

DOCUMENT = """# Speed

<!-- table: commit-proposers -->
an old table
<!-- end -->

Between.

<!-- table: idle -->
another old table
<!-- end -->
"""


def test_tables_go_into_their_places_and_plots_beside(tmp_path: Path) -> None:
    folder = tmp_path / "commit-proposers"
    folder.mkdir()
    (folder / "commit.md").write_text("| a new table |\n", encoding="utf-8")
    (folder / "commit-proposers.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "commit-proposers.png").write_bytes(b"")
    document, plots = tmp_path / "performance.md", tmp_path / "plots"
    document.write_text(DOCUMENT, encoding="utf-8")

    assert main(["publish", str(folder), "--documents", str(document), "--plots", str(plots)]) == 0

    after = document.read_text(encoding="utf-8")
    assert after == DOCUMENT.replace("an old table\n", "\n| a new table |\n\n")
    assert [path.name for path in plots.iterdir()] == ["commit-proposers.svg"]


def test_publishing_twice_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "idle"
    folder.mkdir()
    (folder / "idle.md").write_text("| idle |\n", encoding="utf-8")
    document = tmp_path / "performance.md"
    document.write_text(DOCUMENT, encoding="utf-8")
    texts: list[str] = []
    for _ in range(2):
        main(["publish", str(folder), "--documents", str(document), "--plots", str(tmp_path / "plots")])
        texts.append(document.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert "| idle |" in texts[0]
