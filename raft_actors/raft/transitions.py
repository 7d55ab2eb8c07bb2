"""The legal changes of role (Raft paper, Figure 4), in one place.

follower  → candidate   the election timeout passed without word from a leader
candidate → candidate   the election timed out: a new one, in a new term
candidate → leader      votes from a majority
candidate → follower    a leader of this term, or anything of a higher term
leader    → follower    a higher term, no word from a majority, or a disk that hangs
"""

from __future__ import annotations

import enum

from raft_actors.errors import InternalError


class RoleName(enum.StrEnum):
    """The three roles of §5.1."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


LEGAL: frozenset[tuple[RoleName, RoleName]] = frozenset(
    {
        (RoleName.FOLLOWER, RoleName.CANDIDATE),
        (RoleName.CANDIDATE, RoleName.CANDIDATE),
        (RoleName.CANDIDATE, RoleName.LEADER),
        (RoleName.CANDIDATE, RoleName.FOLLOWER),
        (RoleName.LEADER, RoleName.FOLLOWER),
    }
)


def check_transition(current: RoleName, successor: RoleName) -> None:
    """Raise InternalError unless `current` may become `successor`."""
    if (current, successor) not in LEGAL:
        raise InternalError(f"a {current} can't become a {successor}")
