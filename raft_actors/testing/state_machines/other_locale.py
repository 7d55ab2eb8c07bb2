"""A locale that writes numbers otherwise, for state machines that ask for the user's: few hosts have one installed."""

from __future__ import annotations

import locale
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_NAME = "numbers.UTF-8"
_SOURCE = """\
LC_NUMERIC
decimal_point ","
thousands_sep "."
grouping 3;3
END LC_NUMERIC
"""


def group_digits(folder: Path) -> None:
    """Have `locale.setlocale(…, "")` of this process, which takes the user's locale, take one that writes 1.234,5.

    It is made at the first call, by the C library's own `localedef`. Where there is none, nothing changes.
    """
    module: Any = locale
    real = locale.setlocale

    def setlocale(category: int, locale: str | Iterable[str | None] | None = None) -> str:
        known = real(category, locale)
        if locale == "" and category in (module.LC_ALL, module.LC_NUMERIC) and _make(folder):
            real(module.LC_NUMERIC, _NAME)
            return real(category)
        return known

    module.setlocale = setlocale


def _make(folder: Path) -> bool:
    """Make it, if that can be done; say whether it is there."""
    made = folder / _NAME / "LC_NUMERIC"
    compiler = shutil.which("localedef")
    if compiler is None or made.exists():
        return made.exists()
    source = folder / "numbers"
    source.write_text(_SOURCE)
    # -c: it warns of all other categories, which are not there.
    command = [compiler, "-c", "-i", str(source), "-f", "UTF-8", "--no-archive", str(made.parent)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    os.environ["LOCPATH"] = str(folder)
    return made.exists()
