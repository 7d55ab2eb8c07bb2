"""What a node makes sure of before it trusts an application's state machine with a log."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType
from typing import Any, TypeVar, cast

from raft_actors.errors import ConfigurationError
from raft_actors.state_machine import StateMachine

M = TypeVar("M", bound=StateMachine[Any, Any])

#: Methods that are called, not awaited.
_PLAIN_METHODS = ("apply", "snapshot", "state_digest")

#: What calls return that have run nothing.
_NOT_RUN = (CoroutineType, AsyncGeneratorType)

# By identity: a state machine may define equality, and need not be hashable. A mark on the object itself would get into
# the snapshots of those that pickle their `__dict__`.
_used: dict[int, weakref.ref[StateMachine[Any, Any]]] = {}


def state_machine_from(given: M | Callable[[], M]) -> M:
    """The state machine that an application handed in, or that the factory makes which it handed in.

    Raises:
        ConfigurationError: it is none, can't work, or has served a node before.
    """
    handed_in = cast("Any", given)
    made = handed_in() if callable(handed_in) and not isinstance(given, StateMachine) else handed_in
    if not isinstance(made, StateMachine):
        returned = "" if made is handed_in else "the factory returned something that "
        raise ConfigurationError(
            "state_machine must be a StateMachine, or be called without arguments and return one: "
            f"{returned}{type(made).__name__} is none"
        )
    machine = cast("M", made)
    _check_methods(machine)
    _check_unused(machine)
    return machine


def use(machine: StateMachine[Any, Any]) -> None:
    """Note that a node is about to change the state machine, which no other node may do after it.

    Raises:
        ConfigurationError: one did already.
    """
    _check_unused(machine)
    key = id(machine)
    _used[key] = weakref.ref(machine, lambda _: _used.pop(key, None))


def _check_unused(machine: StateMachine[Any, Any]) -> None:
    if id(machine) in _used:
        raise ConfigurationError(
            f"this {type(machine).__name__} has served a node before and holds that one's state, and the log would be "
            "applied to it again: make a new state machine for each node, or hand in a factory, such as its class"
        )


def _check_methods(machine: StateMachine[Any, Any]) -> None:
    fatal: Any = machine.fatal_errors
    is_tuple = isinstance(machine.fatal_errors, tuple)
    if not is_tuple or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in fatal):
        name = type(machine).__name__
        raise ConfigurationError(f"{name}.fatal_errors must be a tuple of exception classes, not {fatal!r}")
    for name in _PLAIN_METHODS:
        method = inspect.unwrap(getattr(machine, name))
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise ConfigurationError(
                f"{type(machine).__name__}.{name} is an async function, and calling it would carry out nothing: write "
                f"`def {name}`; it runs on the Trio thread, between two commands, and may not wait"
            )
    if inspect.isgeneratorfunction(inspect.unwrap(machine.apply)):
        raise ConfigurationError(
            f"{type(machine).__name__}.apply is a generator function, and calling it would carry out nothing: return "
            "the result instead of yielding it"
        )
    if inspect.isgeneratorfunction(inspect.unwrap(machine.snapshot)):
        raise ConfigurationError(
            f"{type(machine).__name__}.snapshot is a generator function: nothing of it would run before later commands "
            "change the state. Take what it needs in a plain function (a copy, say), and return a generator that has it"
        )


def heeds_time(machine: StateMachine[Any, Any]) -> bool:
    """Whether it may change as log time passes: not where `pass_time` is the one that does nothing."""
    ignored: object = StateMachine[Any, Any].pass_time
    return getattr(machine.pass_time, "__func__", None) is not ignored


def is_not_run(result: object) -> bool:
    """Whether a call returned something awaitable instead of having done its work."""
    return isinstance(result, _NOT_RUN)


def not_run(result: object, what: str) -> str:
    """Give up what a call returned instead of having done its work, and return what to tell the caller."""
    if isinstance(result, CoroutineType):
        cast("Any", result).close()  # or Python warns that it was never awaited, where nobody can do anything about it
    kind = type(cast("Any", result)).__name__
    return f"{what} returned a {kind}, so nothing of it was carried out: it runs between two commands, and may not wait"
