"""The application's codecs, on what clients send and are sent: whatever these raise, the client is told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raft_actors.node.client_refusals import Refused
from raft_actors.state_machine import StateMachine
from raft_actors.wording import text_of


class ClientCodecs:
    """Those of one node's state machine."""

    def __init__(self, node_id: str, machine: StateMachine[Any, Any]) -> None:
        self._node_id = node_id
        self._decode_command = machine.commands.decode
        self._decode_query = machine.queries.decode
        self._encode_result = machine.results.encode
        self._encode_answer = machine.answers.encode

    def check_command(self, data: bytes) -> None:
        """See that a command can be read here.

        Raises:
            Refused: it can't.
        """
        try:
            self._decode_command(data)
        except Exception as error:  # on bytes from afar
            raise self._unreadable("command", error, "of another version") from error

    def query(self, data: bytes) -> Callable[[Any], Any]:
        """The query that these bytes are.

        Raises:
            Refused: they are none.
        """
        try:
            query: Callable[[Any], Any] = self._decode_query(data)
        except Exception as error:  # on bytes from afar
            raise self._unreadable("query", error, "older") from error
        return query

    def result(self, value: Any) -> bytes | None:
        """What `apply` returned, as bytes; None: it can't travel, for whatever reason."""
        try:
            data: object = self._encode_result(value)
        except Exception:  # noqa: BLE001 - the command took effect, whatever the codec raises
            return None
        return data if isinstance(data, bytes) else None

    def answer(self, value: Any) -> bytes:
        """What a query returned, as bytes.

        Raises:
            Refused: it can't travel.
            Exception: whatever else the codec raises.
        """
        try:
            data: object = self._encode_answer(value)
        except TypeError as error:
            raise Refused(f"what it returned can't travel: {text_of(error)}", "QueryFailed") from error
        if not isinstance(data, bytes):
            kind = type(data).__name__
            raise Refused(f"what it returned can't travel: StateMachine.answers makes a {kind} of it", "QueryFailed")
        return data

    def _unreadable(self, what: str, error: Exception, why: str) -> Refused:
        text = f"node {self._node_id!r} can't read this {what} ({text_of(error)}): is its state machine {why}?"
        return Refused(text, "ConfigurationError")
