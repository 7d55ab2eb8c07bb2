"""One error out of an exception group: what people who open a node want to see."""

from __future__ import annotations

from typing import cast

import trio

from raft_actors.wording import described


def leaves(error: BaseException) -> list[BaseException]:
    """The plain exceptions in a (nested) group; the error itself where it is none."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for inner in group.exceptions for leaf in leaves(inner)]


def one_error(error: BaseException) -> BaseException:
    """The error that tells what happened: the first that is no mere cancellation, with the others as notes on it.

    What must not be swallowed (KeyboardInterrupt, SystemExit) goes before what may be handled.
    """
    found = [leaf for leaf in leaves(error) if not isinstance(leaf, trio.Cancelled)]
    if not found:
        return leaves(error)[0]
    found.sort(key=lambda leaf: isinstance(leaf, Exception))
    first, *others = found
    for other in others:
        if other is not first:
            first.add_note(f"at the same time: {described(other)}")
    return first
