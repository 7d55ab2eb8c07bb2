"""What an application gives the cluster: a deterministic state machine.

Every replica applies the same commands in the same order (Raft paper §2), so `apply` may depend on the command and
the state alone: no clock, no randomness, no I/O, no iteration over a `set` of strings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Collection, Hashable, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from raft_actors.commands import NO_QUERIES, RAW_BYTES, CommandCodec
from raft_actors.results import PLAIN_RESULTS

CommandT = TypeVar("CommandT")
ResultT = TypeVar("ResultT")


class StateMachine(ABC, Generic[CommandT, ResultT]):
    """A replicated state machine. All methods are called on the Trio thread, never two at once.

    By default commands are raw bytes. For attrs classes set `commands`:

        class Counter(StateMachine[Add | Reset, int]):
            commands = attrs_commands(Add | Reset)
    """

    commands: ClassVar[CommandCodec[Any]] = RAW_BYTES
    """How commands become bytes at `propose` and commands again at `apply`."""

    results: ClassVar[CommandCodec[Any]] = PLAIN_RESULTS
    """How results become bytes, where a session keeps them for the case that an answer is lost: by default None,
    numbers, text, bytes, and lists, tuples (nested 32 deep at most) and dicts of these. One that can't be
    kept is reported as `ResultLost` then."""

    queries: ClassVar[CommandCodec[Any]] = NO_QUERIES
    """How the queries of a `RaftClient` travel: `attrs_queries(Get | Count)`. A query is an attrs class that is called
    with the state machine, and returns what is asked for; it is what `Node.read` takes, too."""

    answers: ClassVar[CommandCodec[Any]] = PLAIN_RESULTS
    """How what these return travels: by default as `results` do."""

    fatal_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """What `apply` raises when this replica has failed and not the command (the disk that it keeps its state on, say).
    It ends the node, as MemoryError and RecursionError always do."""

    @abstractmethod
    def apply(self, command: CommandT) -> ResultT:
        """Carry out one committed command and return its result, which the proposer gets.

        Runs on the Trio thread between two checkpoints: heartbeats wait while it computes, so keep each call well
        below the election timeout. An exception is the command's refusal, and part of the outcome: the proposer gets it
        as the cause of a `CommandFailed`, every replica raises the same one, and goes on with the next command. So
        raise before changing anything, or leave the state as you want it. Only `fatal_errors`, MemoryError and
        RecursionError mean that the replica has failed, and end it.
        """

    def touches(self, command: CommandT) -> Collection[Hashable] | None:
        """What a command may read or change, by names of your own; None, the default: anything.

        Only for clusters with leases (`ClusterConfig.leases`): a new leader answers reads before it may commit, if they
        name what they are about (`Node.read(…, keys=…)`) and no command touches it that may or may not be committed.
        Name too much rather than too little: what is missing may give a stale answer.
        """
        return None

    def pass_time(self, now_ms: int) -> None:
        """Take note that log time has come to this: the milliseconds that the leaders have counted. Does nothing here.

        For commands whose effect depends on time, such as keys that expire: it is the same on every replica, since it
        is part of the log, never goes back, and is no wall clock. It comes before a session's command (`Node.session`),
        where at least a millisecond has passed, and not with other commands; time during which nobody leads is not
        counted. Called between two commands, as `apply` is, and after `restore`; there perhaps with a time that the
        restored state knows already.
        """

    @abstractmethod
    def snapshot(self) -> Iterable[bytes]:
        """Return the state as it is at this call, as chunks of bytes of any size.

        The iterable is drawn from lazily while later commands are applied, so take what it needs before returning
        (a shallow copy of a dict, say) and encode chunk by chunk.
        """

    def state_digest(self) -> bytes | None:
        """Return what stands for the state as it is at this call: by it replicas are compared, if that is wanted
        (`NodeConfig.state_check_entries`).

        Equal states need equal bytes on every replica, whatever they were restored from; different states different
        ones. So say nothing of an order that does not matter. It may be kept up to date by `apply`, which costs least.
        None, the default: a hash of all bytes of `snapshot` stands for it, made while later commands are applied.
        """
        return None

    @abstractmethod
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Replace the whole state by a snapshot that some replica's `snapshot` wrote.

        The chunks hold the same bytes in the same order, cut in other places.
        """
