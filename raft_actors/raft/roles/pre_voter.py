"""What all roles do about requests for pre-votes (dissertation §9.6)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from raft_actors.raft.effects import Effect, Send
from raft_actors.raft.messages import Message, RequestPreVote, RequestPreVoteReply, RequestVote
from raft_actors.raft.state import RaftState


class PreVoter(ABC):
    """The part of a role that tells whether its node would vote for another.

    A vote has to be on disk before it is sent, so who grants a pre-vote must have a disk that works: else a candidate
    stands in vain, again and again, each time in another term. So while writes wait for the disk, the answer that a
    vote is to be had waits, too, until one of them is done: no longer than a vote would, and where no write is under
    way, not at all.

    Attributes:
        asked: members that wait for such an answer, with their latest question. Forgotten with the role: who hears
            nothing asks again.
    """

    state: RaftState
    asked: dict[str, RequestPreVote]

    @abstractmethod
    def in_touch(self, now: float) -> bool:
        """Whether this node knows of a leader that is alive, and so helps nobody to replace it."""

    @staticmethod
    def _is_pre_vote(message: Message) -> bool:
        """Whether a message's term is one that its sender only asks for, or was asked for: nobody is in it yet."""
        return isinstance(message, RequestPreVote) or (isinstance(message, RequestPreVoteReply) and message.granted)

    def on_request_pre_vote(self, sender: str, message: RequestPreVote, now: float) -> list[Effect]:
        """Tell whether this node would vote for the sender: the same in every role, and the answer changes nothing."""
        state = self.state
        if state.disk_is_behind:
            return []
        if not self._would_pre_vote(message, now):
            return [state.reply(sender, RequestPreVoteReply(state.term, message.round, granted=False))]
        if state.unsynced_writes:
            if sender in state.peers:  # only members, of which there are so many: a stranger asks again
                self.asked[sender] = message
            return []
        return [self._grant(sender, message)]

    def answer_pre_votes(self, now: float) -> list[Effect]:
        """The disk works: answer those who wait for that, by how things stand now. Who is not to have a vote any more
        asks again."""
        asked, self.asked = self.asked, {}
        return [self._grant(peer, request) for peer, request in asked.items() if self._would_pre_vote(request, now)]

    @staticmethod
    def _grant(sender: str, message: RequestPreVote) -> Send:
        return Send(sender, RequestPreVoteReply(message.term, message.round, granted=True))

    def _would_pre_vote(self, message: RequestPreVote, now: float) -> bool:
        if self.state.has_lost_promises:
            return False
        return message.term > self.state.term and not self.in_touch(now) and self.is_up_to_date(message)

    def is_up_to_date(self, message: RequestVote | RequestPreVote) -> bool:
        """Whether the sender's log is at least as up-to-date as this node's (§5.4.1)."""
        return self.state.log.is_up_to_date(message.last_log_index, message.last_log_term)
