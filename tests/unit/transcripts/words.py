"""How messages, entries and nodes read in a transcript."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.membership import Configuration, Member
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted, Message
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.unit.model.node import Node

_UNSAID = {"wants_reply", "sequence", "done", "data", "next_sequence", "round"}


def set_of(ids: Collection[str]) -> str:
    return "{" + " ".join(sorted(ids)) + "}"


def members(configuration: Configuration) -> str:
    """A configuration in a few words."""
    parts = [set_of(configuration.voters)]
    if configuration.outgoing:
        parts.append(f"and {set_of(configuration.outgoing)}")
    if configuration.learners:
        parts.append(f"with learners {set_of(configuration.learners)}")
    priorities = {one: member.priority for one, member in configuration.members.items() if member.priority}
    if priorities:
        parts.append("with priorities " + " ".join(f"{one}:{number}" for one, number in priorities.items()))
    known_by = [f"{one}:{_known_by(member)}" for one, member in configuration.members.items() if member.incarnation]
    if known_by:
        parts.append("known by " + " ".join(known_by))
    if configuration.features:
        parts.append(f"using {' '.join(sorted(configuration.features))}")
    return " ".join(parts)


def _known_by(member: Member) -> str:
    return f"{member.incarnation}@{member.address}" if member.address else member.incarnation


def entries(batches: Collection[EntryBatch]) -> str:
    """Entries one by one: index, and what they hold."""
    told = []
    for batch in batches:
        for entry in batch.entries():
            match entry.kind:
                case EntryKind.NOOP:
                    told.append(f"{entry.index} no-op")
                case EntryKind.CONFIGURATION:
                    told.append(f"{entry.index} = {members(decode_configuration(entry.command))}")
                case _:
                    told.append(f"{entry.index} {entry.command.decode()}")
    return "; ".join(told)


def said(message: Message) -> str:
    """A message in one line."""
    words = [type(message).__name__]
    if isinstance(message, AppendEntries):
        after = f"after {message.prev_log_index}/{message.prev_log_term}" if message.entries else ""
        words += ["term", str(message.term), "committed", str(message.leader_commit), after]
        words += ["entries", entries(message.entries)] if message.entries else []
        return " ".join(filter(None, words))
    for field in attrs.fields(type(message)):
        value: Any = getattr(message, field.name)
        if field.name in _UNSAID or value == field.default:
            continue
        if isinstance(value, SnapshotMetadata):
            value = f"{value.index}/{value.term}"
        if field.name == "configuration":
            stored = message.stored_configuration()  # type: ignore[union-attr]
            value = f"{stored.index} = {members(decode_configuration(stored.data))}" if stored else ""
        words += [field.name.replace("_", " "), str(value).lower() if isinstance(value, bool) else str(value)]
    return " ".join(words)


def summary(node: Node) -> str:
    """What is to be known of a node, in one line."""
    state = node.state
    log = state.log
    vote = f", voted {state.voted_for}" if state.voted_for and state.voted_for != state.leader else ""
    follows = f" of {state.leader}" if state.leader and state.leader != node.node_id else ""
    snapshot = f", snapshot {log.snapshot_index}" if log.snapshot_index else ""
    known = members(state.configuration)
    return (
        f"{node.node_id} is {node.role.name}{follows}, term {state.term}{vote}: log to {log.last_index}/{log.last_term}"
        f"{snapshot}, committed {state.commit_index}, members {known}"
    )


class News:
    """Which messages are worth a line: not a heartbeat that tells nothing new, nor what is said again and again."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, type[Any]], Any] = {}
        self._lost: set[tuple[str, str, str]] = set()

    def is_news(self, sender: str, to: str, message: Message, *, lost: bool) -> bool:
        key = (sender, to, type(message))
        gist: Any = (said(message), lost)
        if lost:
            known = (sender, to, said(message)) in self._lost
            self._lost.add((sender, to, said(message)))
            return not known
        if isinstance(message, AppendEntriesAccepted) and self._last.get(key) == gist:
            return False
        if isinstance(message, AppendEntries) and message.entries:
            self._last[key] = ("", False)
            return True
        known = self._last.get(key) == gist
        self._last[key] = gist
        return not known

    def healed(self) -> None:
        """What gets lost from now on is worth a line again."""
        self._lost.clear()

    def forget(self, node_id: str) -> None:
        """A node begins anew: so does what is said to it, and by it."""
        self._last = {key: gist for key, gist in self._last.items() if node_id not in key[:2]}
