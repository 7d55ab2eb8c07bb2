"""What is replicated: jobs that wait, and who works on which. Every command may come twice and counts once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable

import attrs

from raft_actors import StateMachine, attrs_commands


@attrs.frozen
class Submit:
    """Add a job, unless one of that name was there before."""

    name: str
    payload: str


@attrs.frozen
class Take:
    """Give this worker the oldest job that nobody has. A worker that has one gets the same again."""

    worker: str


@attrs.frozen
class Done:
    """The job is done. Who lost it meanwhile to another worker is refused."""

    worker: str
    name: str


@attrs.frozen
class GiveBack:
    """This worker is gone, says who looks after workers: its job waits again, before all others."""

    worker: str


@attrs.frozen
class Job:
    """A job, as workers get it."""

    name: str
    payload: str


class NotYours(Exception):
    """Another worker has the job by now, or it is done."""


Command = Submit | Take | Done | GiveBack


class JobQueue(StateMachine[Command, Job | None]):
    """Jobs are done at least once: a worker that was taken for gone may still be at it, and is refused at the end."""

    commands = attrs_commands(Command)

    def __init__(self) -> None:
        self.known: dict[str, str] = {}  # every job's payload, by name, until it is done
        self.waiting: list[str] = []
        self.taken: dict[str, str] = {}  # by worker
        self.done = 0

    def apply(self, command: Command) -> Job | None:
        """Carry out one command."""
        match command:
            case Submit(name, payload):
                if name not in self.known:
                    self.known[name] = payload
                    self.waiting.append(name)
            case Take(worker):
                if worker not in self.taken and self.waiting:
                    self.taken[worker] = self.waiting.pop(0)
                if worker in self.taken:
                    return Job(self.taken[worker], self.known[self.taken[worker]])
            case Done(worker, name):
                if self.taken.get(worker) != name:
                    raise NotYours(f"{worker} does not have {name}")
                del self.taken[worker], self.known[name]
                self.done += 1
            case GiveBack(worker):
                if worker in self.taken:
                    self.waiting.insert(0, self.taken.pop(worker))
        return None

    def snapshot(self) -> Iterable[bytes]:
        """All of it, as JSON."""
        return [json.dumps([self.known, self.waiting, self.taken, self.done]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Be what the snapshot says."""
        self.known, self.waiting, self.taken, self.done = json.loads(b"".join([chunk async for chunk in chunks]))
