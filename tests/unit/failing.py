"""What a worker process raises. Apart from the test, which imports every module there is: the worker need not."""

from __future__ import annotations

from raft_actors import CommandFailed, NotLeader


class OfAnApplication(NotLeader):
    """A subclass with an `__init__` of its own."""

    def __init__(self, *, request: str) -> None:
        super().__init__("n2")
        self.request = request


def fail(what: str) -> None:
    """Raise in a worker process."""
    if what == "application":
        raise OfAnApplication(request="r1")
    raise CommandFailed(5) from ValueError("a refusal")
