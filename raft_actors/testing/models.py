"""Ready models for `check_history`: a register and a key-value store by key, a counter, a queue.

Each has its own requests, below it. For commands of your own, override `translate`:

    class MyModel(KeyValueModel):
        def translate(self, request, response):
            match request:
                case SetUser(name, mail):
                    return Put(name, mail), response
                …
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs
from typing_extensions import override

from raft_actors.errors import ConfigurationError
from raft_actors.testing.linearizability import UNKNOWN, Model


def _unknown_request(model: Model[Any], request: object) -> ConfigurationError:
    return ConfigurationError(f"{type(model).__name__} knows no request {request!r}: override its translate()")


# --- register ------------------------------------------------------------------------------------------------


@attrs.frozen
class Read:
    """Answered with the register's value."""

    key: Hashable = None


@attrs.frozen
class Write:
    """Sets the register's value; what it is answered does not matter."""

    value: Hashable
    key: Hashable = None


@attrs.frozen
class RegisterModel(Model[Hashable]):
    """Registers, one for each key.

    Attributes:
        initial_value: what each holds at first.
    """

    initial_value: Hashable = None

    @override
    def initial(self) -> Hashable:
        return self.initial_value

    @override
    def step(self, state: Hashable, request: Any, response: Any) -> tuple[bool, Hashable]:
        match request:
            case Read():
                return response is UNKNOWN or response == state, state
            case Write(value):
                return True, value
            case _:
                raise _unknown_request(self, request)

    @override
    def key(self, request: Any) -> Hashable:
        if not isinstance(request, Read | Write):
            raise _unknown_request(self, request)
        return request.key

    @override
    def is_read(self, request: Any) -> bool:
        return isinstance(request, Read)


# --- key-value store -----------------------------------------------------------------------------------------


@attrs.frozen
class Get:
    """Answered with the key's value, None where it has none."""

    key: Hashable


@attrs.frozen
class Put:
    """Sets the key's value; answered with None (see `KeyValueModel.answers_with_previous`)."""

    key: Hashable
    value: Any


@attrs.frozen
class Append:
    """Adds to the end of the key's value (`+`), or sets it where there is none; answered as `Put`."""

    key: Hashable
    value: Any


@attrs.frozen
class Cas:
    """Sets the key's value to `new` if it is `expected` (None: if it has none); answered with whether it did."""

    key: Hashable
    expected: Any
    new: Any


@attrs.frozen
class Delete:
    """Removes the key; answered with whether it had a value."""

    key: Hashable


@attrs.frozen
class KeyValueModel(Model[Any]):
    """A store of values by key; None is no value. Keys are checked one by one.

    Attributes:
        answers_with_previous: `Put` and `Append` are answered with the value before.
    """

    answers_with_previous: bool = False

    @override
    def initial(self) -> Any:
        return None

    @override
    def step(self, state: Any, request: Any, response: Any) -> tuple[bool, Any]:
        match request:
            case Get():
                answer, after = state, state
            case Put(_, value):
                answer, after = state if self.answers_with_previous else None, value
            case Append(_, value):
                answer = state if self.answers_with_previous else None
                after = value if state is None else state + value
            case Cas(_, expected, new):
                answer = state == expected
                after = new if answer else state
            case Delete():
                answer, after = state is not None, None
            case _:
                raise _unknown_request(self, request)
        return response is UNKNOWN or response == answer, after

    @override
    def key(self, request: Any) -> Hashable:
        if not isinstance(request, Get | Put | Append | Cas | Delete):
            raise _unknown_request(self, request)
        return request.key

    @override
    def is_read(self, request: Any) -> bool:
        return isinstance(request, Get)


# --- counter -------------------------------------------------------------------------------------------------


@attrs.frozen
class Add:
    """Adds to the counter; answered with its value then, or with None (which says nothing)."""

    amount: int = 1


@attrs.frozen
class Count:
    """Answered with the counter's value."""


@attrs.frozen
class CounterModel(Model[int]):
    """A counter that begins with 0."""

    @override
    def initial(self) -> int:
        return 0

    @override
    def step(self, state: int, request: Any, response: Any) -> tuple[bool, int]:
        match request:
            case Add(amount):
                after = state + amount
                return response is UNKNOWN or response is None or response == after, after
            case Count():
                return response is UNKNOWN or response == state, state
            case _:
                raise _unknown_request(self, request)

    @override
    def is_read(self, request: Any) -> bool:
        return isinstance(request, Count)


# --- queue ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Enqueue:
    """Puts an item at the end of the queue; what it is answered does not matter."""

    item: Hashable


@attrs.frozen
class Dequeue:
    """Takes the item at the front of the queue; answered with it, or with None where the queue is empty."""


@attrs.frozen
class QueueModel(Model[tuple[Hashable, ...]]):
    """A queue, first in, first out. It can't be cut in parts, so keep its histories short."""

    @override
    def initial(self) -> tuple[Hashable, ...]:
        return ()

    @override
    def step(self, state: tuple[Hashable, ...], request: Any, response: Any) -> tuple[bool, tuple[Hashable, ...]]:
        match request:
            case Enqueue(item):
                return True, (*state, item)
            case Dequeue():
                answer = state[0] if state else None
                return response is UNKNOWN or response == answer, state[1:]
            case _:
                raise _unknown_request(self, request)
