"""What has changed in a node since the last look: for its subscribers, its log lines and its transport."""

from __future__ import annotations

from typing import Any

import trio

from raft_actors.node.acquaintances import Acquaintances
from raft_actors.node.admission import Admission
from raft_actors.node.events import CommitAdvanced, EventHub, LeaderChanged, MembershipChanged, RoleChanged
from raft_actors.node_log import NodeLog
from raft_actors.raft.features import IDENTITY
from raft_actors.raft.membership import Proven
from raft_actors.raft.roles import Role
from raft_actors.raft.state import RaftState
from raft_actors.transports.abc import Transport

#: Strangers that are heard at a time: more than a cluster has members beside those that a node knows.
_MOST_GUESTS = 16


def peer_addresses(state: RaftState) -> dict[str, str]:
    """Where a node reaches all others that it has to: node id → address."""
    return {peer: state.address_of(peer) or "" for peer in sorted({*state.peers, *state.parting})}


class Observing:
    """Looks at a node after each of its decisions. See the module's text."""

    def __init__(
        self,
        events: EventHub,
        changed: trio.lowlevel.ParkingLot,
        log: NodeLog,
        transport: Transport,
        acquaintances: Acquaintances,
        admission: Admission,
    ) -> None:
        """`admission`: closed once the node is about to end, as its owner wants."""
        self._acquaintances = acquaintances
        self._admission = admission
        self._events = events
        self._changed = changed
        self._log = log
        self._transport = transport
        self._seen: tuple[Any, ...] = (None, 0, None, 0, False, 0, None)
        self._guests: dict[str, str] = {}
        self._told: tuple[int, bool] = (0, True)
        self._state: RaftState | None = None

    def look(self, role: Role) -> None:
        """Publish what has changed since the last look, so that no change goes unseen."""
        state = role.state
        members = (state.configurations.changes, state.parting)
        seen = (role, state.term, state.leader, state.commit_index, state.solitude.is_final, *members)
        if seen == self._seen:
            return
        last_role, last_term, last_leader, last_commit, last_final, *last_members = self._seen
        self._seen, self._state = seen, state
        if [*seen[5:]] != last_members:
            self._set_peers(state)
        if role is not last_role:
            self._log.info("is %s in term %d", role.name, state.term)
            self._events.publish(RoleChanged(state.term, role.name))
        if (state.term, state.leader) != (last_term, last_leader):
            if state.leader is not None:
                self._log.info("knows %r as the leader of term %d", state.leader, state.term)
                self._part_from_guests(state)
            self._events.publish(LeaderChanged(state.term, state.leader))
            self._changed.unpark_all()
        if state.solitude.is_final and not last_final:
            self._changed.unpark_all()
        if state.commit_index != last_commit:
            self._events.publish(CommitAdvanced(state.commit_index))
        self._tell_members(state)

    def welcome(self, state: RaftState | None, stranger: str, address: str) -> bool:
        """Whether to hear a node of this cluster that is no member, as far as this node knows; see `Endpoint.stranger`.

        While it has no leader, for its own configuration may be old: one that leads, or stands for election, may be
        what it needs. With a leader it needs nobody else, and one that was removed is to disturb nobody.
        """
        if state is None or state.leader is not None or len(self._guests) >= _MOST_GUESTS:
            return False
        self._log.info("hears %r, which is no member as far as it knows, for want of a leader", stranger)
        self._guests[stranger] = address
        self._set_peers(state)
        return True

    def _part_from_guests(self, state: RaftState) -> None:
        """There is a leader: hear no stranger any more, unless it is the leader itself."""
        if self._guests:
            self._guests = {guest: address for guest, address in self._guests.items() if guest == state.leader}
            self._set_peers(state)

    def _set_peers(self, state: RaftState) -> None:
        self._transport.set_peers({**self._guests, **peer_addresses(state)})

    def _greet_unknown(self, state: RaftState) -> None:
        """Have members greet anew whose connections are older than their being members.

        What they said of their stores was forgotten when they were removed, or not kept while they were strangers. Not
        the leader: this node needs it now.
        """
        transport, counted = self._transport, self._transport.statistics().peers
        unknown = {
            peer
            for peer in state.peers
            if peer in counted
            and counted[peer].connected
            and peer != state.leader
            and IDENTITY in transport.features_of(peer)
            and self._acquaintances.proven(peer) == Proven()
        }
        if unknown:
            peers = {**self._guests, **peer_addresses(state)}
            transport.set_peers({peer: peers[peer] for peer in peers.keys() - unknown})
            self._set_peers(state)

    def _tell_members(self, state: RaftState) -> None:
        """Tell of the configuration in force, and once more when it is committed."""
        held = state.configurations.latest
        now = (held.index, held.index <= state.commit_index)
        if now == self._told:
            return
        self._told = now
        self._acquaintances.settle(state)
        self._greet_unknown(state)
        changed = MembershipChanged.of(held, committed=now[1])
        self._log.info("%s", changed)
        self._events.publish(changed)
        self._changed.unpark_all()
        if state.was_removed and not self._admission.closed:  # it may be what its owner asked for: `aclose(leave=True)`
            self._log.warning(
                "was removed from the cluster: it neither stands for election nor serves any more. Stop it; its store "
                "can be deleted"
            )

    def end(self) -> None:
        """Let no subscriber go on believing that this node leads, or that it knows who does."""
        state = self._state
        if state is not None:
            self._events.publish(RoleChanged(state.term, None))
            if state.leader is not None:
                self._events.publish(LeaderChanged(state.term, None))
        self._events.close()
