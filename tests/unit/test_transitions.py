"""Every pair of roles: the arrows of the Raft paper's Figure 4, those of the pre-vote, and nothing else."""

from __future__ import annotations

from itertools import product

import pytest

from raft_actors.errors import InternalError
from raft_actors.raft.transitions import RoleName, check_transition

ARROWS = {
    ("follower", "pre-candidate"),
    ("pre-candidate", "pre-candidate"),
    ("pre-candidate", "candidate"),
    ("pre-candidate", "follower"),
    ("candidate", "pre-candidate"),
    ("follower", "candidate"),
    ("candidate", "candidate"),
    ("candidate", "leader"),
    ("candidate", "follower"),
    ("leader", "pre-candidate"),
    ("leader", "follower"),
}


@pytest.mark.parametrize(("current", "successor"), list(product(RoleName, repeat=2)))
def test_only_the_arrows_of_the_table_are_legal(current: RoleName, successor: RoleName) -> None:
    if (current.value, successor.value) in ARROWS:
        check_transition(current, successor)
    else:
        with pytest.raises(InternalError, match=f"a {current} can't become a {successor}"):
            check_transition(current, successor)
