"""Making an error again as it was: where it was copied, or came out of a pickle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from raft_actors.wording import described

E = TypeVar("E", bound=BaseException)


def rebuild(cls: type[E], args: tuple[Any, ...], attributes: dict[str, Any], cause: BaseException | None) -> E:
    """An error of this class with these `args`, attributes and cause."""
    error = cls.__new__(cls, *args)  # which keeps `args`; `__init__` would take them for its own
    error.__dict__.update(attributes)
    error.__cause__ = cause
    error.__suppress_context__ = cause is not None
    return error


def picklable(cause: BaseException | None, stand_in: Callable[[str], BaseException]) -> BaseException | None:
    """The cause, or an exception that tells its type and text where another process could not be given it."""
    if cause is None:
        return None
    import pickle  # noqa: PLC0415 - not at the top, for all who import errors; whoever pickles one has it already

    try:
        pickle.loads(pickle.dumps(cause))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - what pickling a stranger's exception raises is up to the stranger
        return stand_in(described(cause))
    return cause
