"""What happened in a simulated cluster, event by event.

An event is a flat dictionary that JSON can express: its time in seconds (`t`), its serial number (`n`), its `kind`, the
`node` it happened to (absent where it is none's), and what belongs to the kind:

    start{life, term, last_index, snapshot_index}   stop{}   crash{why, error?}   pause{}   resume{}
    role{role, term}   commit{index}   apply{first_index, last_index}
    append{first_index, last_index, term}   truncate{from_index}   durable{term, voted_for, last_index}
    snapshot{index, term, how: taken | installed}
    send{id, to, type, text}   receive{id, sender, type}   lose{id, why: drop | cut | full | down | refused}
    fault{what, text, nodes | groups, lasts?}   heal{what, text, nodes?}
    call{operation, client, text}   return{operation, outcome, text}
    broken{invariant, text}

A fault lasts until an event heals what it did to these nodes (`what` may be a list of such things; all nodes, where it
names none), or the same is done to the same nodes anew; with `lasts` false it is over at once.

The same seed gives the same events, byte for byte. Recording must be cheap: an event is kept as a tuple, and put into
words only when somebody reads it.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import trio

from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    ConfirmLeader,
    ConfirmLeaderReply,
    Forwarded,
    ForwardProposals,
    ForwardReply,
    InstallSnapshot,
    InstallSnapshotReply,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestVote,
    RequestVoteReply,
    StateDigest,
    TimeoutNow,
)

Event = dict[str, Any]

#: Events kept for the report of a failure where no complete trace was asked for.
RECENT = 400


class Trace:
    """Records events: the latest `RECENT` of them, or all.

    Attributes:
        count: how many were recorded, forgotten ones included.
        complete: whether all are kept.
    """

    def __init__(self, *, complete: bool = False) -> None:
        self.complete = complete
        self.count: int = 0
        self._events: deque[tuple[float, int, str, str | None, dict[str, Any]]] = deque(
            maxlen=None if complete else RECENT
        )

    def add(self, kind: str, node: str | None = None, /, **details: Any) -> None:
        """Note that something happens now. A detail that is no string or number is put into words when it is read."""
        self.count = count = self.count + 1
        self._events.append((trio.current_time(), count, kind, node, details))

    def told(self, node_id: str, part: str, kind: str, text: str, **more: object) -> None:
        """Note a fault of a node's disk or clock, or its end."""
        details = {"what": part, "text": f"the {part} of {node_id} {text}", "nodes": [node_id]}
        self.add(kind, **(details | more))

    def events(self) -> Iterator[Event]:
        """The events that are kept, oldest first."""
        for time, number, kind, node, details in self._events:
            event: Event = {"t": round(time, 6), "n": number, "kind": kind}
            if node is not None:
                event["node"] = node
            for name, value in details.items():
                event[name] = value if isinstance(value, str | int | float | list | None) else describe(value)
            yield event

    def lines(self) -> Iterator[str]:
        """The events as lines of JSON."""
        return as_lines(self.events())

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the events to a file, one a line; one that exists is replaced.

        Raises:
            OSError: it can't be written.
        """
        with Path(path).open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.lines())


def as_lines(events: Iterable[Event]) -> Iterator[str]:
    """Events as lines of JSON."""
    for event in events:
        yield json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def describe(value: object) -> str:
    """Put a message, or anything else, into a few words."""
    words = _WORDS.get(type(value))
    text = words(value) if words is not None else str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _append_entries(message: AppendEntries) -> str:
    what = f"entries {message.entries[0].first_index} to {message.last_index}" if message.entries else "heartbeat"
    return (
        f"term {message.term}: {what} after {message.prev_log_index} of term {message.prev_log_term}, "
        f"commit {message.leader_commit}"
    )


def _rejected(message: AppendEntriesRejected) -> str:
    held = "nothing" if message.conflict_term is None else f"term {message.conflict_term}"
    return f"term {message.term}: {held} at {message.prev_log_index}, try {message.conflict_index}"


def _install_snapshot(message: InstallSnapshot) -> str:
    which = f"snapshot {message.snapshot.index} of term {message.snapshot.term}"
    last = ", the last" if message.done else ""
    return f"term {message.term}: {which}, chunk {message.sequence}{last} ({len(message.data)} bytes)"


def _install_snapshot_reply(message: InstallSnapshotReply) -> str:
    state = "installed" if message.installed else f"chunk {message.next_sequence} wanted"
    return f"term {message.term}: snapshot {message.snapshot.index} of term {message.snapshot.term}, {state}"


def _request(message: RequestVote | RequestPreVote) -> str:
    return f"term {message.term}: log ends with {message.last_log_index} of term {message.last_log_term}"


def _vote_reply(message: RequestVoteReply | RequestPreVoteReply) -> str:
    return f"term {message.term}: {'granted' if message.granted else 'refused'}"


_WORDS: dict[type, Callable[[Any], str]] = {
    RequestPreVote: _request,
    RequestPreVoteReply: _vote_reply,
    RequestVote: _request,
    RequestVoteReply: _vote_reply,
    AppendEntries: _append_entries,
    AppendEntriesAccepted: lambda message: f"term {message.term}: matches up to {message.match_index}",
    AppendEntriesRejected: _rejected,
    InstallSnapshot: _install_snapshot,
    InstallSnapshotReply: _install_snapshot_reply,
    TimeoutNow: lambda message: f"term {message.term}: stand at once",
    ConfirmLeader: lambda message: f"term {message.term}, read round {message.round}",
    ConfirmLeaderReply: lambda message: f"term {message.term}, read round {message.round}",
    RequestReadIndex: lambda message: f"term {message.term}, reads {message.request}",
    ReadIndexReply: lambda message: f"term {message.term}, reads {message.request} see entry {message.index}",
    ForwardProposals: lambda message: (
        f"term {message.term}: batch {message.number} of {sum(map(len, message.entries))} commands"
    ),
    ForwardReply: lambda message: (
        f"term {message.term}: batch {message.number} {Forwarded(message.outcome).name.lower()} at {message.index}"
    ),
    StateDigest: lambda message: f"term {message.term}: state {message.digest.hex()} at {message.index}",
}
