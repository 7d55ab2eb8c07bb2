"""Handing leadership over (dissertation §3.10): to whom, until when, and what waits meanwhile.

The target must hold the whole log on its disk, and all of it must be committed, before it is told to stand: then it
wins, and no proposal is left whose outcome nobody knows. So that this moment comes, what is proposed meanwhile is held,
not appended. Nothing that a leader may do by virtue of having been heard lately goes on once the target was told.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs

from raft_actors.errors import TransferRefused
from raft_actors.raft.leading.commit import Commit
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.requests import Request, TransferRequest
from raft_actors.raft.state import RaftState
from raft_actors.records import define


@define
class Transfer:
    """A transfer under way.

    Attributes:
        request: who asked for it; None where the leader does so by itself, for it is no voter any more.
        target: who is to lead; None while it can't be chosen, for this leader has yet to hear who holds how much.
        ends_at: when this leader gives it up and leads on, on the node's clock.
        told: whether the target was told to stand.
        held: proposals and reads that came meanwhile, in order.
        tried: who was told before, in this leadership's attempts to hand over, and did not take it.
    """

    request: TransferRequest | None
    target: str | None
    ends_at: float
    told: bool = False
    held: list[Request] = attrs.field(factory=list[Request])
    tried: frozenset[str] = frozenset()

    @property
    def successor(self) -> str:
        """Who is to lead, for a message."""
        wanted = self.target if self.request is None else self.target or self.request.to
        return "another voter" if wanted is None else repr(wanted)


def choose_target(
    wanted: str | None,
    state: RaftState,
    commit: Commit,
    contact: Contact,
    now: float,
    *,
    without: Collection[str] = (),
) -> str | None:
    """Return who is to lead: the wanted follower, or the one that holds most of the log; of those that hold all that is
    committed, the one with the highest priority.

    By match index, not by what was sent: only that is on its disk. Who is `without` is not chosen.

    Returns:
        None where this leader has led for so short a time that whoever might be fit has not yet told what it holds.

    Raises:
        TransferRefused: there is nobody, or the wanted one is unknown, this leader, not heard of, or far behind.
    """
    if wanted is None:
        others = [peer for peer in state.voting_peers if peer not in without]
        possible = [peer for peer in others if _why_not(peer, state, commit, contact, now) is None]
        if not possible:
            raise TransferRefused("no follower can take leadership over now: each is far behind, or was not heard of")
        members, match_index = state.configuration.members, commit.match_index

        def rank(peer: str) -> tuple[object, ...]:
            caught_up = match_index[peer] >= state.commit_index
            return caught_up, members[peer].priority, match_index[peer], contact.last_contact[peer], peer

        return max((peer for peer in possible if match_index[peer]), key=rank, default=None)
    if wanted == state.node_id:
        raise TransferRefused(f"{wanted!r} leads already")
    if wanted not in state.configuration.voters:
        voters = ", ".join(sorted(state.configuration.voters))
        raise TransferRefused(f"{wanted!r} is no voter of this cluster ({voters})")
    reason = _why_not(wanted, state, commit, contact, now)
    if reason is not None:
        raise TransferRefused(reason)
    return wanted if commit.match_index[wanted] else None


def can_take_over(peer: str, state: RaftState, commit: Commit, contact: Contact, now: float) -> bool:
    """Whether leadership could be handed to a follower now."""
    return _why_not(peer, state, commit, contact, now) is None


def _why_not(peer: str, state: RaftState, commit: Commit, contact: Contact, now: float) -> str | None:
    """Why a follower can't take over; None where it can, or may be able to once it has told what it holds."""
    silence_s = now - contact.last_contact[peer]
    if peer in contact.disconnected or silence_s > state.config.election_timeout_s[1]:
        return f"{peer!r} has not answered for {silence_s:.1f} s, or its connection is broken: is it running?"
    match_index, log = commit.match_index[peer], state.log
    if match_index and (match_index < log.first_index - 1 or not log.remembers(match_index + 1)):
        return (
            f"{peer!r} is far behind: it holds the log up to entry {match_index:,} of {log.last_index:,}. Wait until "
            "it has caught up"
        )
    return None
