"""Classes of values: attrs' to whoever checks types or looks at their fields, and made faster: a node starts sooner.

For each class attrs writes the source of `__repr__`, `__eq__` and `__hash__`, and has it compiled: two thirds of what
making the class takes. We have two hundred classes, which come with every import, and most are never printed, compared
or hashed. Here the three are written once, and look at the fields when they are called.

What they do is what attrs' own do, but for what no class of ours asks for: an order, a key to compare a field by.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from attrs import define, frozen
    from attrs import frozen as record
else:

    def _maker(make: Callable[..., Any], *, hashes: bool) -> Callable[..., Any]:
        def maker(cls: type | None = None, *, eq: bool = True, **options: Any) -> Any:
            def decorate(cls: type) -> type:
                made = make(eq=False, repr=False, **options)(cls)
                if "__repr__" not in cls.__dict__:
                    made.__repr__ = _repr
                if eq and "__eq__" not in cls.__dict__:
                    _compare_by_fields(made, hashes=hashes)
                return made

            return decorate if cls is None else decorate(cls)

        return maker

    define = _maker(attrs.define, hashes=False)
    frozen = _maker(attrs.frozen, hashes=True)
    # Values that are made for every message, write and effect are frozen to whoever checks types, and plain at run
    # time: `attrs.frozen` has to go around its own guard for each field, which takes three times as long as to make a
    # plain instance. Where thousands are made in a second, mypy and pyright are the guard.
    record = _maker(attrs.define, hashes=True)

__all__ = ["define", "frozen", "record"]


@reprlib.recursive_repr("...")
def _repr(self: attrs.AttrsInstance) -> str:
    """`Class(field=value, …)`, without the fields that are not to be shown."""
    cls = type(self)
    shown: list[str] = []
    for field in attrs.fields(cls):
        if field.repr:
            value = getattr(self, field.name, attrs.NOTHING)  # one that `__init__` leaves out may have none yet
            shown.append(f"{field.name}={repr(value) if field.repr is True else field.repr(value)}")
    return f"{cls.__qualname__.rpartition('>.')[2]}({', '.join(shown)})"


def _compare_by_fields(cls: Any, *, hashes: bool) -> None:
    names = [field.name for field in attrs.fields(cls) if field.eq]
    # Of one name alone it gives the value itself, which compares and hashes as well.
    values: Callable[[Any], Any] = attrgetter(*names) if names else _nothing

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    cls.__eq__ = __eq__
    cls.__hash__ = __hash__ if hashes else None


def _nothing(_: object) -> None:
    """What values without fields have to compare."""
