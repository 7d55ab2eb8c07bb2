"""Mutations of clients that are no members: of what they ask again, and of what they tell their nodes."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_BOARD = "client/board.py"
_CLIENT = "client/client.py"
_SESSIONS = "node/sessions.py"
_SOURCE = "clients"
_FAULTS = "tests/cluster/test_client_faults.py::test_all_that_clients_are_told_is_so_whatever_befalls_nodes_and_links"

CLIENTS: tuple[Mutation, ...] = (
    mutation(
        "read-asked-for-at-no-level",
        "a read sees all that was acknowledged before it began",
        _SOURCE,
        Edit(_CLIENT, "RaftClient.read_result", "read_body(data, level)", "read_body(data, Local())"),
        scenario=_FAULTS,
    ),
    mutation(
        "requests-of-a-broken-connection-forgotten",
        "what was under way where a connection broke is asked elsewhere",
        _SOURCE,
        Edit(_BOARD, "Board.lost", "self._take_back(line, list(line.calls.values()))", "line.calls.clear()"),
        scenario=_FAULTS,
    ),
    mutation(
        "settled-before-it-is-answered",
        "a reply is kept until its client has it",
        "dissertation §6.3",
        Edit(
            _SESSIONS,
            "Session.propose",
            "numbered(self._id, number, number - floor, data)",
            "numbered(self._id, number, 0, data)",
        ),
        scenario=_FAULTS,
    ),
    mutation(
        "asked-again-as-another-command",
        "what is asked again is the same command of its session",
        "dissertation §6.3",
        Edit(
            _BOARD,
            "Board._take_back",
            "call.in_doubt = True",
            """
            call.in_doubt = True
            if call.ask is Ask.PROPOSE and len(call.body) > 20:
                number = int.from_bytes(call.body[10:14]) + 500
                call.body = call.body[:10] + number.to_bytes(4) + call.body[14:]
            """,
        ),
        scenario=_FAULTS,
    ),
)
