"""Strict structuring: what cattrs coerces by default is refused.

Stock cattrs turns "7" into 7, and an int n sent for a `bytes` field into n zero bytes, which is a memory bomb.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cattrs


def forbid_coercion(converter: cattrs.Converter) -> None:
    """Make `converter` take int, float, str, bytes and bool only as exactly that."""
    # By class, not by predicate: cattrs asks predicates only about classes that it has no hook for, and it has these.
    for primitive in (int, str, bytes, bool):
        converter.register_structure_hook(primitive, _exactly(primitive))
    converter.register_structure_hook(float, _number)


def _exactly(primitive: type) -> Callable[[Any, type], Any]:
    def structure(value: Any, cls: type) -> Any:
        if type(value) is not primitive:
            raise TypeError(f"{primitive.__name__} expected, not {type(value).__name__}")
        return value if cls is primitive else cls(value)  # a subclass, such as an IntEnum

    return structure


def _number(value: Any, cls: type) -> Any:
    # msgpack writes 1.0 as a float and 1 as an int; both are numbers to a person who wrote `float`.
    if type(value) not in (int, float):
        raise TypeError(f"float expected, not {type(value).__name__}")
    return cls(value)
