"""One error out of many: what really happened, with the rest as notes."""

from __future__ import annotations

import trio

from raft_actors.actors.one_error import leaves, one_error
from raft_actors.errors import StorageFailed


async def cancelled() -> trio.Cancelled:
    """A real one: it can't be made by hand."""
    kept: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            kept.append(error)
            raise
    return kept[0]


def test_an_error_that_is_no_group_is_itself() -> None:
    error = ValueError()
    assert one_error(error) is error
    assert leaves(error) == [error]


def test_the_leaves_of_nested_groups_come_in_order() -> None:
    first, second, third = ValueError(1), ValueError(2), ValueError(3)
    nested = ExceptionGroup("", [first, ExceptionGroup("", [second, ExceptionGroup("", [third])])])
    assert leaves(nested) == [first, second, third]


def test_the_first_error_has_the_others_as_notes() -> None:
    first, second = StorageFailed("disk"), ValueError("later")
    assert one_error(ExceptionGroup("", [first, second])) is first
    assert first.__notes__ == ["at the same time: ValueError: later"]


def test_the_same_error_twice_is_not_its_own_note() -> None:
    error = ValueError()
    assert one_error(ExceptionGroup("", [error, ExceptionGroup("", [error])])) is error
    assert not hasattr(error, "__notes__")


def test_what_must_not_be_swallowed_goes_first() -> None:
    interrupt = KeyboardInterrupt()
    assert one_error(BaseExceptionGroup("", [ValueError(), interrupt])) is interrupt


async def test_cancellation_tells_nothing_where_there_is_an_error() -> None:
    error = ValueError()
    assert one_error(BaseExceptionGroup("", [await cancelled(), error])) is error


async def test_cancellation_alone_is_cancellation() -> None:
    only = await cancelled()
    assert one_error(BaseExceptionGroup("", [only, await cancelled()])) is only
