"""Values that are made for every message, write and effect: frozen to whoever checks types, and plain at run time.

`attrs.frozen` has to go around its own guard for each field, which takes three times as long as to make a plain
instance. Where thousands are made in a second, mypy and pyright are the guard.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as record
else:
    record = partial(attrs.define, unsafe_hash=True)

__all__ = ["record"]
