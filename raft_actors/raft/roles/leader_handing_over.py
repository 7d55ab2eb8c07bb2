"""The leader's decisions about handing leadership over: whom to tell to stand, when, and what it gives up before."""

from __future__ import annotations

import contextlib
from typing import cast

from typing_extensions import override

from raft_actors.errors import TransferError, TransferFailed, TransferRefused
from raft_actors.raft import inputs
from raft_actors.raft.effects import Become, Effect, EndScopes, Refuse, Send
from raft_actors.raft.leading.forwarded import ForwardedBatches
from raft_actors.raft.leading.intake import Intake
from raft_actors.raft.leading.lease import Lease
from raft_actors.raft.leading.priority import Priority
from raft_actors.raft.leading.reads import Reads
from raft_actors.raft.leading.transfer import Transfer, choose_target
from raft_actors.raft.messages import TimeoutNow
from raft_actors.raft.requests import ReadRequest, TransferRequest
from raft_actors.raft.roles.leader_members import LeaderOfMembers
from raft_actors.raft.transitions import RoleName


class LeaderHandingOver(LeaderOfMembers):
    """The part of `Leader` that has another node lead."""

    term: int
    intake: Intake
    lease: Lease
    reads: Reads
    priority: Priority
    forwarded: ForwardedBatches

    @override
    def on_transfer_requested(self, item: inputs.TransferRequested, now: float) -> list[Effect]:
        """Choose who is to lead, and hold what is proposed from now on."""
        request = item.request
        if self.transfer is not None:
            under_way = f"leadership is being handed to {self.transfer.successor} already"
            return [Refuse(request, TransferRefused(under_way))]
        try:
            target = choose_target(request.to, self.state, self.commit, self.contact, now)
        except TransferRefused as refusal:
            return [Refuse(request, refusal)]
        return self._begin_transfer(request, target, now)

    @override
    def _begin_transfer(self, request: TransferRequest | None, target: str | None, now: float) -> list[Effect]:
        self.transfer = Transfer(request, target, now + self.state.config.election_timeout_s[1])
        self.transfer.held += self.reads.take_all()
        # What came earlier in this step goes into the log still: it came before.
        return [] if self.intake.requested or self.forwarded.unplaced else self._tell_when_due(now)

    def _give_way_to_priority(self, now: float) -> list[Effect]:
        """Hand over to a voter that is to lead rather, and can."""
        target = self.priority.target(now) if self.transfer is None else None
        return [] if target is None else self._begin_transfer(None, target, now)

    def _tell_when_due(self, now: float) -> list[Effect]:
        """Tell the target to stand, once: when it holds the whole log, all of which is committed.

        A new leader knows of nobody yet what it holds. It waits for their word, for which it need not wait long, and
        does not take it for granted that they hold nothing, nor that they can take over.
        """
        transfer, state = self.transfer, self.state
        if transfer is None or transfer.told or self.intake.requested or self.forwarded.unplaced:
            return []
        if transfer.target is None:
            wanted = None if transfer.request is None else transfer.request.to
            try:
                transfer.target = choose_target(wanted, state, self.commit, self.contact, now, without=transfer.tried)
            except TransferRefused as refusal:
                return self._lead_on(transfer, refusal, now)
            if transfer.target is None:
                return []
        if not self.commit.match_index[transfer.target] == state.log.last_index == state.commit_index:
            return []
        transfer.told = True
        given_up = self._give_lease_up()
        return [*given_up, Send(transfer.target, TimeoutNow(state.term, self.lease.is_over))]

    def _give_lease_up(self) -> list[Effect]:
        """Before another one is told to stand: it need not wait for the end of a lease then. For the rest of this term:
        what was sent may arrive late, and who was told be elected long after this leader has given the transfer up.
        """
        if self.lease.settings is not None and self.lease.given_up:
            return []
        self.lease.given_up = True
        return [EndScopes("leadership is handed to another node")]

    def _go_on_with_transfer(self, now: float) -> list[Effect]:
        """Say again what may be lost; give up in the end, and lead on."""
        transfer = self.transfer
        if transfer is None:
            return []
        if now < transfer.ends_at:
            if transfer.target is None or not transfer.told:
                return self._tell_when_due(now)
            return [Send(transfer.target, TimeoutNow(self.term, self.lease.is_over))]
        self.priority.failed(now)
        if transfer.told and self.lease.settings is not None:
            another = self._hand_over_to_another(transfer, now)
            if another:
                return another
        if transfer.told and transfer.request is None and transfer.target is not None:
            self.members.declined |= {transfer.target}
        return self._lead_on(transfer, TransferFailed(self._why_in_vain(transfer)), now)

    def _why_in_vain(self, transfer: Transfer) -> str:
        target, leads_on = transfer.target, f"{self.state.node_id!r} leads on"
        if target is None:
            return f"{transfer.successor} has not told in time how much of the log it holds: {leads_on}"
        if transfer.told:
            return f"{target!r} did not take leadership over in time: {leads_on}"
        held, last_index = self.commit.match_index[target], self.state.log.last_index
        if held < last_index:
            return (
                f"{target!r} did not get all of the log in time, but up to entry {held:,} of {last_index:,}: {leads_on}"
            )
        return f"the end of the log was not committed in time: {leads_on}"

    def _lead_on(self, transfer: Transfer, error: TransferError, now: float) -> list[Effect]:
        """Give the transfer up, and take on what waited."""
        self.transfer = None
        self.intake.requested += [request for request in transfer.held if not request.is_read]
        reads = self.on_reads([cast("ReadRequest", request) for request in transfer.held if request.is_read], now)
        if transfer.request is None:
            return reads
        return [*reads, Refuse(transfer.request, error)]

    def _hand_over_to_another(self, failed: Transfer, now: float) -> list[Effect]:
        """Try the next one, with all that waits; nothing where nobody is left.

        This leader has no lease any more, and must not have one in this term: the one that was told may be elected in
        the next, however late, and would not wait. A leader of the next term can: then nobody else can be elected in
        it. So it is better that another one leads than that nobody can read by a lease, or enter `while_leading`.
        """
        tried = failed.tried if failed.target is None else failed.tried | {failed.target}
        with contextlib.suppress(TransferRefused):
            target = choose_target(None, self.state, self.commit, self.contact, now, without=tried)
            if target is None:
                return []
            ends_at = now + self.state.config.election_timeout_s[1]
            self.transfer = Transfer(None, target, ends_at, held=failed.held, tried=tried)
            why = f"{failed.successor} did not take leadership over in time: it is handed to {target!r} instead"
            refused = [] if failed.request is None else [Refuse(failed.request, TransferFailed(why))]
            return [*refused, *self._tell_when_due(now)]
        return []

    def _give_way(self, now: float) -> list[Effect]:
        """Step down, and let the best follower know at once: the others would wait for the silence of this leader."""
        state = self.state
        effects: list[Effect] = []
        with contextlib.suppress(TransferRefused):
            target = choose_target(None, state, self.commit, self.contact, now)
            if target is not None:
                effects += self._give_lease_up()
                effects.append(Send(target, TimeoutNow(state.term, self.lease.is_over)))
        state.leader = None
        return [*effects, Become(RoleName.FOLLOWER)]
