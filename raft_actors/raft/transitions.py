"""The legal changes of role (Raft paper, Figure 4; with pre-votes: dissertation §9.6), in one place.

follower      → pre-candidate   the election timeout passed without word from a leader, or its connection broke
pre-candidate → pre-candidate   the round timed out: ask anew
pre-candidate → candidate       a majority would vote for this node
pre-candidate → follower        a leader of this term, a vote for another, or a higher term
candidate     → pre-candidate   the election timed out: ask before standing again
candidate     → leader          votes from a majority
candidate     → follower        a leader of this term, or anything of a higher term
leader        → pre-candidate   no word from a majority: whoever still hears this node learns that it has given up
leader        → follower        a higher term, or a disk that hangs

Without pre-votes (switched off, nobody to ask, or the leader hands over):

follower      → candidate       the election timeout passed without word from a leader, or the leader said so
leader        → follower        no word from a majority
candidate     → candidate       the election timed out: a new one, in a new term
"""

from __future__ import annotations

import enum

from raft_actors.errors import InternalError


class RoleName(enum.StrEnum):
    """The three roles of §5.1, and that of a node that asks for pre-votes."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class GivenUp(enum.StrEnum):
    """Why a leader gives its leadership up, though it knows of no other leader."""

    HUNG_DISK = "hung disk"
    """Its own disk does nothing, and a majority commits without it."""
    NO_MAJORITY = "no majority"
    """No majority answers (dissertation §6.2)."""


LEGAL: frozenset[tuple[RoleName, RoleName]] = frozenset(
    {
        (RoleName.FOLLOWER, RoleName.PRE_CANDIDATE),
        (RoleName.FOLLOWER, RoleName.CANDIDATE),
        (RoleName.PRE_CANDIDATE, RoleName.PRE_CANDIDATE),
        (RoleName.PRE_CANDIDATE, RoleName.CANDIDATE),
        (RoleName.PRE_CANDIDATE, RoleName.FOLLOWER),
        (RoleName.CANDIDATE, RoleName.PRE_CANDIDATE),
        (RoleName.CANDIDATE, RoleName.CANDIDATE),
        (RoleName.CANDIDATE, RoleName.LEADER),
        (RoleName.CANDIDATE, RoleName.FOLLOWER),
        (RoleName.LEADER, RoleName.PRE_CANDIDATE),
        (RoleName.LEADER, RoleName.FOLLOWER),
    }
)


def check_transition(current: RoleName, successor: RoleName) -> None:
    """Raise InternalError unless `current` may become `successor`."""
    if (current, successor) not in LEGAL:
        raise InternalError(f"a {current} can't become a {successor}")
