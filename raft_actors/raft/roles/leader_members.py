"""The leader's decisions about members: when to append which configuration, and to whom to hand over."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from functools import partial

from typing_extensions import override

from raft_actors.errors import ChangeRefused, TransferRefused
from raft_actors.raft import inputs
from raft_actors.raft.effects import ChangeBegun, Effect, Refuse, ReplicateTo
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.leading.commit import Commit
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.leading.members import Members
from raft_actors.raft.leading.transfer import Transfer, choose_target
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import RequestLeave
from raft_actors.raft.requests import ChangeRequest, TransferRequest
from raft_actors.raft.roles.role import Role


class LeaderOfMembers(Role):
    """The part of `Leader` that changes the members; `leading.members` keeps account of it."""

    members: Members
    transfer: Transfer | None
    commit: Commit
    contact: Contact

    @abstractmethod
    def _append(self, batches: list[EntryBatch]) -> list[Effect]:
        """Append to the log, and have it written and sent."""

    @abstractmethod
    def _begin_transfer(self, request: TransferRequest | None, target: str | None, now: float) -> list[Effect]:
        """Hold what waits and what comes, and tell the target to stand once nothing is missing there."""

    @override
    def on_change_requested(self, item: inputs.ChangeRequested, now: float) -> list[Effect]:
        """Begin a change of members, at once or when an entry of this term is committed."""
        members, request = self.members, item.request
        if members.may_append:
            return self._begin_change(request, now)
        if members.waiting is not None:
            return [Refuse(request, ChangeRefused("another change of members waits for this leader to be ready"))]
        members.waiting, members.busy = request, True
        return []

    def _begin_change(self, request: ChangeRequest, now: float) -> list[Effect]:
        if self.transfer is not None:
            handing_over = f"leadership is being handed to {self.transfer.successor}: ask the next leader"
            return [Refuse(request, ChangeRefused(handing_over))]
        try:
            configuration, goal = self.members.begin(request, now)
        except ChangeRefused as refusal:
            return [Refuse(request, refusal)]
        effects = [] if configuration is None else self._change_to(configuration, now)
        return [*effects, ChangeBegun(request, self.state.configurations.latest.index, goal)]

    def _change_to(self, configuration: Configuration, now: float) -> list[Effect]:
        """Append a configuration, which is in force from now on, and replicate to whom it names."""
        state, before = self.state, self.state.configuration
        command = encode_configuration(configuration)
        batch = EntryBatch.encode(state.log.last_index + 1, state.term, EntryKind.CONFIGURATION, [command])
        append = self._append([batch])
        returned = self.members.appended(before, batch.last_index, now)
        followers, effects = self.members.followers, list[Effect]()
        if returned:  # their replicators begin anew
            staying = tuple(peer for peer in followers if peer not in returned)
            effects.append(ReplicateTo(staying, next_index=batch.first_index))
        return [*effects, ReplicateTo(followers, next_index=batch.first_index), *append]

    def _go_on_with_members(self, now: float) -> list[Effect]:
        members = self.members
        if not members.busy or self.transfer is not None:
            return []
        effects: list[Effect] = []
        if members.waiting is not None and members.may_append:
            request, members.waiting = members.waiting, None
            effects += self._begin_change(request, now)
        if members.must_hand_over:
            return effects + self._hand_over(now)
        following = members.next(now)
        return effects if following is None else effects + self._change_to(following, now)

    def _hand_over(self, now: float) -> list[Effect]:
        """Have a voter lead, for this leader is none any more. Where nobody can now, look again with the next beat.

        Not one that did not take it, as long as there is another: it may answer, hold all, and not be able to stand.
        """
        members = self.members
        choose = partial(choose_target, None, self.state, self.commit, self.contact, now)
        with contextlib.suppress(TransferRefused):
            try:
                target = choose(without=members.declined)
            except TransferRefused:
                members.declined = frozenset()  # nobody else is left: each has another chance
                target = choose()
            if target is not None:
                return self._begin_transfer(None, target, now)
        return []

    @override
    def on_request_leave(self, sender: str, message: RequestLeave, now: float) -> list[Effect]:
        """Remove the sender, if that can be begun now: it asks again and again."""
        members = self.members
        if self.transfer is not None or not members.may_append or sender not in self.state.configuration.ids:
            return []
        with contextlib.suppress(ChangeRefused):
            configuration, _ = members.begin(members.without(sender), now)
            if configuration is not None:
                return self._change_to(configuration, now)
        return []
