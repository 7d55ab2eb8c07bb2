"""A member is the store that has its promises (dissertation §11.2): a store that another one has replaced never comes
back, and no store is two members."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.configurations import Held
from raft_actors.raft.membership import Member
from raft_actors.raft.messages import Message, RequestVoteReply
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class IdentityNeverReused(Invariant):
    """No committed configuration names a store for two members, nor one again that another has replaced. And who has
    lost its store gives no vote before a configuration names the one that it has now.
    """

    name = "identity is never reused"
    source = "docs/guarantees.md; Raft dissertation, §11.2"

    def __init__(self) -> None:
        super().__init__()
        self._last_index = 0
        self._owners: dict[str, str] = {}
        self._latest: dict[str, str] = {}
        self._replaced: set[str] = set()

    @override
    def changed(self, life: Life) -> None:
        """Look at the configurations that are known to be committed now."""
        state = life.state
        if state.commit_index <= life.seen_commit or state.configurations.latest.index <= self._last_index:
            return
        for held in state.configurations.since(self._last_index):
            if held.index <= state.commit_index:
                self._look(life, held)

    def _look(self, life: Life, held: Held) -> None:
        self._last_index = held.index
        for member_id, member in held.configuration.members.items():
            store = member.incarnation
            if not store:
                continue
            owner = self._owners.setdefault(store, member_id)
            if owner != member_id:
                self.fail(f"{life} commits, at {held.index}, that {member_id!r} is the store {store}, as {owner!r} was")
            if store in self._replaced:
                self.fail(f"{life} commits, at {held.index}, that {member_id!r} is the store {store} again")
            latest = self._latest.get(member_id, store)
            if latest != store:
                self._replaced.add(latest)
            self._latest[member_id] = store

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Nobody gives a vote that knows that its votes are lost with its store."""
        if not isinstance(message, RequestVoteReply) or not message.granted or not life.state.must_be_named:
            return
        state = life.state
        named = state.configuration.members.get(life.node_id, Member()).incarnation
        if named != state.incarnation and self._latest.get(life.node_id) != state.incarnation:
            self.fail(f"{life} votes for {to!r}, and knows that its votes were lost with its store")
