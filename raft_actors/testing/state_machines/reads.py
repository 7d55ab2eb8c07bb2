"""What `apply` looks at besides command and state: environment variables, files, and threads of its own making."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

#: Where one of these asks for a file, it is not for what the state machine wants to know.
_MACHINERY = (
    *("importlib", "logging", "linecache", "traceback", "warnings", "zoneinfo", "tempfile", "tracemalloc"),
    *("tokenize", "inspect", "encodings", "gettext"),
)
#: Names of variables that programs of all kinds need to find each other.
_COMMON = ("PATH", "HOME", "USER", "TZ", "TMPDIR", "TEMP", "TMP", "LANG", "SYSTEMROOT")
_COMMON_PREFIXES = ("PYTHON", "LC_")

#: A thread of `apply` is waited for no longer.
_THREADS_S = 1.0
_HURRIED_S = 0.001


# --- environment variables ---------------------------------------------------------------------------------------


@contextmanager
def variables_read() -> Generator[set[str], None, None]:
    """Collect the names of the environment variables that this thread reads in the block."""
    names: set[str] = set()
    thread = threading.get_ident()
    real: Any = type(os.environ)
    inherits = "__contains__" not in vars(real)
    get, contains = real.__getitem__, real.__contains__

    def watched_get(environment: Any, key: Any) -> Any:
        if threading.get_ident() == thread:
            names.add(os.fsdecode(key))
        return get(environment, key)

    def watched_contains(environment: Any, key: Any) -> bool:
        if threading.get_ident() == thread:
            names.add(os.fsdecode(key))
        return bool(contains(environment, key))

    # Of this class, which has no audit event, are `os.environ` and `os.environb`, whoever has imported them by name.
    real.__getitem__, real.__contains__ = watched_get, watched_contains
    try:
        yield names
    finally:
        real.__getitem__ = get
        if inherits:
            del real.__contains__
        else:
            real.__contains__ = contains


def other_values(names: set[str], number: int) -> dict[str, str | None]:
    """What another host may have for these variables; None: it has none of the name."""
    values: dict[str, str | None] = {}
    for name in sorted(names):
        if name.upper() not in _COMMON and not name.upper().startswith(_COMMON_PREFIXES):
            values[name] = str((number + 1) % 2) if number or name not in os.environ else None
    return values


# --- files -------------------------------------------------------------------------------------------------------


@attrs.define
class FileWatch:
    """Notes which files are opened for reading, or asked about, while it is on.

    It can't be taken away again: so it is for a process of its own.
    """

    seen: set[str] = attrs.field(factory=set[str])
    _thread: int = 0

    def install(self) -> None:
        """Begin to listen."""
        sys.addaudithook(self._hear)
        for name in ("stat", "lstat", "access", "statvfs", "readlink"):
            if hasattr(os, name):
                setattr(os, name, self._told_of(getattr(os, name)))

    @contextmanager
    def on(self) -> Generator[None, None, None]:
        """Note what this thread does in the block."""
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = 0

    def take(self) -> set[str]:
        """What was seen since the last time."""
        seen, self.seen = self.seen, set()
        return seen

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._thread != threading.get_ident():
            return
        if event in ("os.listdir", "os.scandir", "glob.glob") or (event == "open" and _is_read(*arguments[1:3])):
            self._note(arguments[0])

    def _told_of(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def told(path: Any, *arguments: Any, **options: Any) -> Any:
            if self._thread == threading.get_ident():
                self._note(path)
            return real(path, *arguments, **options)

        return told

    def _note(self, path: Any) -> None:
        if isinstance(path, int):
            return  # a file that is open already
        frame: FrameType | None = inspect.currentframe()
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            if module.partition(".")[0].lstrip("_") in _MACHINERY or frame.f_code.co_name == "makedirs":
                return
            frame = frame.f_back
        self.seen.add(str(Path(os.fsdecode(path)).absolute()))


def _is_read(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return "r" in mode or "+" in mode
    return isinstance(flags, int) and flags & os.O_ACCMODE in (os.O_RDONLY, os.O_RDWR)


# --- threads -----------------------------------------------------------------------------------------------------


@contextmanager
def started_threads(*, hurried: bool = False) -> Generator[list[threading.Thread], None, None]:
    """Collect the threads that this one starts in the block. When hurried, what they sleep is over at once, as is the
    time of a `threading.Timer`; and at the block's end they are waited for.
    """
    started: list[threading.Thread] = []
    starter = threading.get_ident()
    changed: list[tuple[Any, str]] = [(threading.Thread, "start"), (time, "sleep"), (threading.Event, "wait")]
    start, sleep, wait = real = [getattr(place, name) for place, name in changed]

    def noted_start(thread: threading.Thread) -> None:
        if threading.get_ident() == starter or threading.current_thread() in started:
            started.append(thread)
        start(thread)

    def hurried_sleep(seconds: float) -> None:
        sleep(_HURRIED_S if threading.current_thread() in started else seconds)

    def hurried_wait(event: threading.Event, timeout: float | None = None) -> bool:
        cut_short = timeout is not None and threading.current_thread() in started
        return bool(wait(event, _HURRIED_S if cut_short else timeout))

    def put(values: Iterable[Any]) -> None:
        for (place, name), value in zip(changed, values, strict=True):
            setattr(place, name, value)

    put((noted_start, hurried_sleep, hurried_wait) if hurried else (noted_start, sleep, wait))
    try:
        yield started
        until_s = time.monotonic() + _THREADS_S
        for thread in started if hurried else ():
            thread.join(max(0.0, until_s - time.monotonic()))
    finally:
        put(real)
