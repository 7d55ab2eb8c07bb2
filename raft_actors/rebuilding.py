"""Making an error again as it was: where it was copied, or came out of a pickle."""

from __future__ import annotations

from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


def rebuild(cls: type[E], args: tuple[Any, ...], attributes: dict[str, Any], cause: BaseException | None) -> E:
    """An error of this class with these `args`, attributes and cause."""
    error = cls.__new__(cls, *args)  # which keeps `args`; `__init__` would take them for its own
    error.__dict__.update(attributes)
    error.__cause__ = cause
    error.__suppress_context__ = cause is not None
    return error
