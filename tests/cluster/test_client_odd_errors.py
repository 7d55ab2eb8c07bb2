"""An application's errors that can't say what they are, and codecs that make no bytes: no node may end of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import pytest
import trio
from typing_extensions import override

from raft_actors import CommandFailed, ConfigurationError, Linearizable, Local, QueryFailed, attrs_queries, open_client
from raft_actors.node import serving
from raft_actors.results import PLAIN_RESULTS
from raft_actors.testing import open_cluster
from tests.cluster.support import CommandLog


class MuteError(Exception):
    """One whose text can't be made."""

    @override
    def __str__(self) -> str:
        text: str = "no such thing: " + self.args[0]
        return text


@attrs.frozen
class Find:
    """Raises."""

    def __call__(self, log: object) -> bytes:
        raise MuteError(None)


@attrs.frozen
class Give:
    """Returns what no codec here makes bytes of."""

    def __call__(self, log: object) -> list[str]:
        return ["listed"]


class _Commands:
    def encode(self, command: bytes) -> bytes:
        return command

    def decode(self, data: bytes) -> bytes:
        if data == b"unreadable":
            raise MuteError(None)
        return data


class _NoBytes:
    """Makes bytes of text and numbers alone."""

    def encode(self, command: object) -> bytes:
        made: object = command if isinstance(command, list) else PLAIN_RESULTS.encode(command)
        return made  # type: ignore[return-value]

    def decode(self, data: bytes) -> object:
        return PLAIN_RESULTS.decode(data)


class Mute(CommandLog):
    """Fails without a word."""

    commands = _Commands()
    answers = _NoBytes()
    queries = attrs_queries(Find | Give)

    @override
    def apply(self, command: bytes) -> int:
        if command == b"no":
            raise MuteError(None)
        return super().apply(command)


async def test_a_client_is_told_of_errors_that_have_no_text_and_nodes_go_on() -> None:
    async with open_cluster(Mute, nodes=3, seed=1) as cluster:
        await cluster.wait_for_one_leader()
        dialer = cluster.network.dialer("client")
        async with open_client(("n1.test:1",), Mute, cluster="simulated", dialer=dialer, seed=1) as client:
            for level in (Linearizable(), Local()):
                with pytest.raises(QueryFailed, match=r"^MuteError$"):
                    await client.read(Find(), level)
                with pytest.raises(QueryFailed, match="makes a list of it"):
                    await client.read(Give(), level)
            with pytest.raises(CommandFailed) as failed:
                await client.propose(b"no")
            assert str(failed.value.__cause__) == "MuteError"
            with pytest.raises(ConfigurationError, match=r"can't read this command \(MuteError\)"):
                await client.propose(b"unreadable")
            assert await client.propose(b"yes") == 1


@pytest.mark.parametrize(
    "request_of", [lambda client: client.read(Find()), lambda client: client.propose(b"no")], ids=["read", "proposal"]
)
async def test_what_goes_wrong_in_an_answer_ends_that_connection_and_no_node(
    request_of: Callable[..., object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever settles a request calls what tells its client: the role's step, or the applier."""
    broken = list[bool]()

    def fail(*_: object) -> bytes:
        monkeypatch.undo()
        broken.append(True)
        raise ZeroDivisionError

    async with open_cluster(Mute, nodes=1, seed=1) as cluster:
        await cluster.wait_for_one_leader()
        dialer = cluster.network.dialer("client")
        async with open_client(("n1.test:1",), Mute, cluster="simulated", dialer=dialer, seed=1) as client:
            await client.wait_ready()
            monkeypatch.setattr(serving, "encode_refusal", fail)
            monkeypatch.setattr(serving, "cause_of", fail)
            with pytest.raises((QueryFailed, CommandFailed)), trio.fail_after(30):
                await request_of(client)  # type: ignore[misc] # it connects again, and asks again
            assert await client.propose(b"yes") == 1
    assert broken == [True]
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "met a bug: its connection is closed" in line.getMessage()
