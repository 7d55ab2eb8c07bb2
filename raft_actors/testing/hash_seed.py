"""The seed by which this process hashes strings: a part of every run whose state machine iterates over a set of them.

Python draws it when a process starts, unless the environment variable PYTHONHASHSEED gives it, and tells nobody what it
drew. So a run can be made again for certain only where the variable was set: `raft-actors simulate` sets it for its
processes, and the pytest plugin for those of `--raft-hash-seeds`.
"""

from __future__ import annotations

import os
import secrets
import sys

VARIABLE = "PYTHONHASHSEED"

#: Python takes any number below; few digits are easier to copy, and vary the order of sets as well.
_END = 10_000


def hash_seed() -> int | None:
    """What PYTHONHASHSEED was when this process started; None: it was not set, and hashes can't be had again."""
    text = os.environ.get(VARIABLE, "")
    if sys.flags.ignore_environment or not text.isdecimal():
        return None
    return int(text)


def drawn_hash_seed() -> int:
    """Another one each time, from 1 on."""
    return 1 + secrets.randbelow(_END)
