"""What all roles do about proposals on their way from one member to another (see `raft.forwarding`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from raft_actors.errors import NotLeader, NotMember
from raft_actors.raft.effects import Effect, KeepResults, Refuse
from raft_actors.raft.features import FORWARDING
from raft_actors.raft.inputs import PeerDisconnected
from raft_actors.raft.messages import Forwarded, ForwardProposals, ForwardReply
from raft_actors.raft.requests import Request
from raft_actors.raft.state import RaftState


class Forwarder(ABC):
    """The part of a role that hands proposals on, and answers for those that it was handed as a leader before."""

    state: RaftState

    @abstractmethod
    def on_peer_disconnected(self, item: PeerDisconnected, now: float) -> list[Effect]:
        """Decide on the end of the connections with a peer."""

    def peer_disconnected(self, item: PeerDisconnected, now: float) -> list[Effect]:
        """Wait for no answers of it any more, and decide on the rest."""
        self.state.outbox.lost(item.peer, now)
        return self.on_peer_disconnected(item, now)

    def on_requests(self, requests: list[Request]) -> list[Effect]:
        """Decide on proposals and reads: hand them on to the leader, or refuse them, naming it.

        A node that is no member hands nothing on: the members have parted from it, or are about to, and would leave the
        proposer without an answer.
        """
        may_forward = self.state.is_member
        self.state.outbox.take(request for request in requests if request.forward and may_forward)
        return [Refuse(request, self.not_leader()) for request in requests if not (request.forward and may_forward)]

    def not_leader(self) -> NotLeader:
        """The error that names the leader as far as known."""
        state = self.state
        leader = state.leader
        address = state.address_of(leader) if leader else None
        member = state.configuration.members.get(leader or "")
        refusal = NotLeader if state.is_member else NotMember
        return refusal(leader, address, state.term, member.metadata if member else None)

    def forward(self, now: float) -> list[Effect]:
        """Hand on to the leader what waits for it, and see to what was handed on before."""
        state, outbox = self.state, self.state.outbox
        if not outbox.waiting and not outbox.sent:
            return []
        # A forwarded batch speaks of its sender's term, which has to be on disk before.
        known = state.leader != state.node_id and state.durable.term == state.term
        leader = state.leader if known else None
        effects: list[Effect] = []
        if not state.is_member or (leader is not None and FORWARDING not in state.features_of(leader)):
            effects += outbox.refuse_waiting(self.not_leader())
            leader = None
        kept_from = outbox.keep_from
        effects += outbox.send(leader, state.term, state.commit_index, now)
        return [*self._keep_results(kept_from), *effects]

    def _keep_results(self, before: int | None) -> list[Effect]:
        kept_from = self.state.outbox.keep_from
        return [] if kept_from == before else [KeepResults(kept_from)]

    def on_forward_proposals(self, sender: str, message: ForwardProposals, now: float) -> list[Effect]:
        """This node does not lead that term, or not any more."""
        return self.answer_late(sender, message)

    def answer_late(self, sender: str, message: ForwardProposals) -> list[Effect]:
        """Tell what became of a batch, if it was this node that led the term for which it was meant."""
        state = self.state
        reply: ForwardReply | None
        if state.forwarded is not None and state.forwarded.term == message.term:
            reply = state.forwarded.answer_late(sender, message)
        else:
            reply = ForwardReply(state.term, message.life, message.number, Forwarded.UNKNOWN, 0)
        return [] if reply is None else [state.reply(sender, reply)]

    def on_forward_reply(self, sender: str, message: ForwardReply, now: float) -> list[Effect]:
        """Note where proposals have their places, or that they have none."""
        state, outbox = self.state, self.state.outbox
        kept_from = outbox.keep_from
        batch, effects = outbox.heard(sender, message, now)
        if batch is not None:
            state.unresolved.watch(batch.requests, batch.term)
            effects += state.apply(state.commit_index)  # they may be committed already
        return [*effects, *self._keep_results(kept_from)]
