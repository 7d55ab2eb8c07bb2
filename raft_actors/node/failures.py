"""When a command ends the node instead of having an outcome, and how operators have it left out.

A command's own refusal is an outcome: the same on every replica, because it follows from command and state. What
follows from the machine that a replica runs on is none: taken for one, it would leave that replica without a command
that the others carried out, and they would differ from then on without a word. Such a replica ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from raft_actors.errors import StateMachineError
from raft_actors.raft.entries import EntryBatch
from raft_actors.state_machine import StateMachine
from raft_actors.wording import text_of

#: They tell of memory and stack, of which no two machines have the same.
ALWAYS_FATAL: tuple[type[Exception], ...] = (MemoryError, RecursionError)

_DIGEST_LENGTH = 16


def fatal_errors(machine: StateMachine[Any, Any]) -> tuple[type[Exception], ...]:
    """What `apply` raises when this replica has failed, and not the command."""
    return ALWAYS_FATAL + machine.fatal_errors


def command_digest(index: int, term: int, command: bytes) -> str:
    """What names a command of a log: its place in it, and its bytes."""
    digest = hashlib.sha256(b"%d %d " % (index, term))
    digest.update(command)
    return digest.hexdigest()[:_DIGEST_LENGTH]


class SkippedCommands:
    """The commands that operators want left out: log index → digest. See `ClusterConfig.skipped_commands`."""

    def __init__(self, digests: Mapping[int, str]) -> None:
        self._digests = digests

    def within(self, batch: EntryBatch) -> list[int]:
        """The indexes among a batch's that are to be left out, in order."""
        return [index for index in self._digests if batch.first_index <= index <= batch.last_index]

    def check(self, index: int, term: int, command: bytes | None) -> None:
        """Make sure that the command at an index is the one that is meant.

        Raises:
            StateMachineError: it is another, or (None) no command at all.
        """
        wanted = self._digests[index]
        found = "none" if command is None else command_digest(index, term, command)
        if found != wanted:
            raise StateMachineError(
                f"skipped_commands names {wanted!r} at index {index}, where the log holds {found}: correct the setting "
                "and give every node the same"
            )

    def __contains__(self, index: int) -> bool:
        return index in self._digests


def not_decoded(index: int, term: int, command: bytes, error: Exception) -> StateMachineError:
    """The error of a node that could not take a command of the log for one."""
    return _unable(index, term, command, f"can't be decoded here ({text_of(error)})")


def not_applied(index: int, term: int, command: bytes, error: BaseException) -> StateMachineError:
    """The error of a node that failed while it carried a command out."""
    return _unable(index, term, command, f"met {type(error).__name__} here, which is no outcome")


def _unable(index: int, term: int, command: bytes, why: str) -> StateMachineError:
    """The error of a node that could not carry out a command, with what to do about it."""
    digest = command_digest(index, term, command)
    return StateMachineError(
        f"the command at index {index} {why}: restart the node on a machine, or with a version, that can; if none can, "
        f"have all leave the command out with ClusterConfig(skipped_commands={{{index}: {digest!r}}})"
    )
