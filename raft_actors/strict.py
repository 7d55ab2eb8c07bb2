"""Strict structuring: what cattrs coerces by default is refused.

Stock cattrs turns "7" into 7, and an int n sent for a `bytes` field into n zero bytes, which is a memory bomb.
"""

from __future__ import annotations

from typing import Any

import cattrs


def forbid_coercion(converter: cattrs.Converter) -> None:
    """Make `converter` take int, float, str, bytes and bool only as exactly that."""
    converter.register_structure_hook_func(lambda cls: cls in (int, str, bytes, bool), _exactly)
    converter.register_structure_hook_func(lambda cls: cls is float, _number)


def _exactly(value: Any, cls: type) -> Any:
    if type(value) is not cls:
        raise TypeError(f"{cls.__name__} expected, not {type(value).__name__}")
    return value


def _number(value: Any, _cls: type) -> float:
    # msgpack writes 1.0 as a float and 1 as an int; both are numbers to a person who wrote `float`.
    if type(value) not in (int, float):
        raise TypeError(f"float expected, not {type(value).__name__}")
    return float(value)
