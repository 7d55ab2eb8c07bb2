"""What a history is made of, and what it is compared with."""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import attrs

from raft_actors.errors import ConfigurationError

S = TypeVar("S", bound=Hashable)


class _Unknown(enum.Enum):
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = _Unknown.UNKNOWN
"""The answer to a call whose outcome nobody knows: it took effect at some time after its start, or never."""


@attrs.frozen
class Operation:
    """One call of one client.

    Attributes:
        client: who called; for messages only.
        request: what was asked.
        response: what was answered, or `UNKNOWN`.
        start_s: when the call was made.
        end_s: when it was answered, on the same clock; infinite where there is no answer.
        start_order: a serial number of the call, which orders events of the same time.
        end_order: the same of its answer. By default a call that starts at the moment when another ends may have
            overlapped it.
    """

    client: str
    request: Any
    response: Any
    start_s: float
    end_s: float = math.inf
    start_order: int = 0
    end_order: int = 1

    def __attrs_post_init__(self) -> None:
        if (self.end_s, self.end_order) < (self.start_s, self.start_order):
            raise ConfigurationError(f"an operation can't end at {self.end_s} and start at {self.start_s}")


class Model(ABC, Generic[S]):
    """The sequential object that a history is compared with. States are immutable and hashable."""

    @abstractmethod
    def initial(self) -> S:
        """The state before the first call."""

    @abstractmethod
    def step(self, state: S, request: Any, response: Any) -> tuple[bool, S]:
        """Whether the object could answer `request` with `response` in `state` (with `UNKNOWN` it always can), and the
        state after it."""

    def key(self, request: Any) -> Hashable:
        """Which part of the object the request concerns. Requests of different parts must not affect each other: each
        part is then checked on its own, from the initial state, which is much faster."""
        return None

    def is_read(self, request: Any) -> bool:
        """Whether the request changes nothing, in any state. Not needed, but knowing it makes checks much faster."""
        return False

    def translate(self, request: Any, response: Any) -> tuple[Any, Any]:
        """What a recorded request and response mean to this model; called once for each operation, before all else.

        For a ready model and commands of your own. A response that is `UNKNOWN` must stay so.
        """
        return request, response
