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
    """The codec of results, which a session keeps in case that an answer is lost. The default one takes None, numbers,
    text, bytes, and lists, tuples (nested 32 deep at most) and dicts of these. A result that it can't encode is
    reported as `ResultLost` where the answer was lost."""

    queries: ClassVar[CommandCodec[Any]] = NO_QUERIES
    """The codec of a `RaftClient`'s queries: `attrs_queries(Get | Count)`. A query is an attrs class that is called
    with the state machine, and returns what is asked for; it is what `Node.read` takes, too."""

    answers: ClassVar[CommandCodec[Any]] = PLAIN_RESULTS
    """The codec of what queries return; by default it takes what that of `results` takes."""

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
        """Return what a command may read or change, as names of your own choice. None, the default, means anything.

        Used only with leases (`ClusterConfig.leases`): a new leader can't commit before its predecessor's lease has
        ended. Until then it answers those reads that name what they look at (`Node.read(…, keys=…)`), if no command
        whose outcome is still open touches any of it. Name too much rather than too little: a missing name may give a
        stale answer. What `pass_time` changes has no names: where there is one, and an entry whose outcome is open lets
        time pass, all of those reads wait.
        """
        return None

    def pass_time(self, now_ms: int) -> None:
        """Called when the log's time has advanced, with that time in milliseconds. Does nothing by default.

        For commands whose effect depends on time, such as keys that expire. The leaders count this time, and it is part
        of the log: so it is the same on every replica and never goes back. It is no wall clock, and stands still while
        nobody leads.

        Called before a command of a session (`Node.session`) if at least a millisecond has passed since the last call,
        and not before other commands. As `apply`, it runs between two commands. It is also called after `restore`, then
        perhaps with a time that the restored state already contains. What it raises counts as a failed command, of
        which nobody is told, and the node goes on; but `fatal_errors` end it, as they do in `apply`.
        """

    @abstractmethod
    def snapshot(self) -> Iterable[bytes]:
        """Return the state as it is at this call, as chunks of bytes of any size.

        The iterable is drawn from lazily while later commands are applied, so take what it needs before returning
        (a copy of a dict, and of the mutable values in it, say) and encode chunk by chunk.
        """

    def state_digest(self) -> bytes | None:
        """Return a digest of the present state, by which replicas are compared (`NodeConfig.state_check_entries`).

        Equal states must give equal bytes on every replica, whatever snapshot they were restored from, and different
        states different bytes: so leave out any order that does not matter. A digest that `apply` keeps up to date
        costs least. None, the default: a hash of all bytes of `snapshot` is used, computed while later commands are
        applied.
        """
        return None

    @abstractmethod
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Replace the whole state by a snapshot that some replica's `snapshot` wrote.

        The chunks hold the same bytes in the same order, cut in other places.
        """
