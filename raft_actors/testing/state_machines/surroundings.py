"""Other surroundings for a state machine: a moved clock, another host name. What it does must not depend on them."""

from __future__ import annotations

import datetime
import os
import platform
import socket
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import attrs

from raft_actors.testing.state_machines.sameness import fields_of

_DAY_S = 86_400
_real_date, _real_datetime = datetime.date, datetime.datetime


@contextmanager
def moved_clock(modules: set[str], days: int) -> Generator[MovedClock, None, None]:
    """Move every clock of the `time` and `datetime` modules by some days (and 3:07:11 hours) for the block's length.

    Names that a module has imported from them are replaced in these modules alone: a whole interpreter's cannot be. A
    machine that keeps a clock as a field is handed over to the block's value.
    """
    shift_s = days * _DAY_S + 3 * 3_600 + 7 * 60 + 11
    replaced = _moved_functions(shift_s)
    moved_date, moved_datetime = _moved_classes(datetime.timedelta(seconds=shift_s))
    replaced[id(_real_date)], replaced[id(_real_datetime)] = moved_date, moved_datetime
    undo: list[tuple[ModuleType, str, Any]] = []
    for module in (time, datetime, *(sys.modules[name] for name in sorted(modules) if name in sys.modules)):
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                undo.append((module, name, value))
                setattr(module, name, replaced[id(value)])
    try:
        yield MovedClock(replaced)
    finally:
        for module, name, value in undo:
            setattr(module, name, value)


@attrs.frozen
class MovedClock:
    """Clocks by the identity of the real ones that they stand for."""

    replaced: dict[int, Any]

    def put_into(self, machine: object) -> None:
        """Replace the clocks that a machine keeps as its fields: the default of an argument, most often."""
        for name, value in fields_of(machine).items():
            if id(value) in self.replaced:
                object.__setattr__(machine, name, self.replaced[id(value)])


def _moved_functions(shift_s: int) -> dict[int, Any]:
    """Clock functions by the identity of the real one."""
    replaced: dict[int, Any] = {}
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        for suffix, shift in (("", shift_s), ("_ns", shift_s * 1_000_000_000)):
            real: Any = getattr(time, name + suffix)
            replaced[id(real)] = _Moved(real, shift)
    for name in ("localtime", "gmtime", "ctime"):
        convert: Any = getattr(time, name)
        replaced[id(convert)] = _MovedWithoutArgument(convert, shift_s)
    write, local, now = time.strftime, time.localtime, time.time

    def strftime(form: str, moment: Any = None) -> str:
        return write(form, local(now() + shift_s) if moment is None else moment)

    replaced[id(write)] = strftime
    return replaced


@attrs.frozen
class _Moved:
    """A clock function that goes before or behind."""

    real: Callable[[], float]
    shift: float

    def __call__(self) -> float:
        return self.real() + self.shift


@attrs.frozen
class _MovedWithoutArgument:
    """A function that converts a time, and takes the present where none is given."""

    convert: Callable[[float], Any]
    shift_s: int
    now: Callable[[], float] = attrs.field(factory=lambda: time.time)

    def __call__(self, seconds: float | None = None) -> Any:
        return self.convert(self.now() + self.shift_s if seconds is None else seconds)


def _moved_classes(shift: datetime.timedelta) -> tuple[Any, Any]:
    """`date` and `datetime` whose now is another. What they make is of the real classes, and counts as theirs."""

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, _real_datetime if cls.__name__ == "datetime" else _real_date)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, _real_datetime if cls.__name__ == "datetime" else _real_date)

        def __getattr__(cls, name: str) -> Any:
            return getattr(_real_datetime if cls.__name__ == "datetime" else _real_date, name)

        def __call__(cls, *arguments: Any, **options: Any) -> Any:
            return (_real_datetime if cls.__name__ == "datetime" else _real_date)(*arguments, **options)

    def now(tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return _real_datetime.now(tz) + shift

    moved_date = Kind("date", (), {"today": staticmethod(lambda: now().date())})
    moved_datetime = Kind(
        "datetime",
        (),
        {
            "now": staticmethod(now),
            "today": staticmethod(now),
            "utcnow": staticmethod(lambda: now(datetime.UTC).replace(tzinfo=None)),
        },
    )
    return moved_date, moved_datetime


def take_host_name(name: str) -> None:
    """Have this process go by another host name and network address, for good."""
    address = zlib.crc32(name.encode())
    uuid.getnode = lambda: address
    real: Any = os.uname() if hasattr(os, "uname") else None

    def full_name(name: str = name) -> str:
        return name

    socket.gethostname = platform.node = lambda: name
    socket.getfqdn = full_name
    if real is not None:
        other = os.uname_result((real.sysname, name, real.release, real.version, real.machine))
        os.uname = lambda: other
