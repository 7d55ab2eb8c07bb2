"""What a member tells its proposers where the leader had no room for what was handed on."""

from __future__ import annotations

import attrs
import pytest

from raft_actors.errors import Overloaded
from raft_actors.overload import LONGEST_RETRY_S, OverloadCause
from raft_actors.raft.messages import Forwarded
from tests.unit.builders import receive, refused
from tests.unit.test_forwarding import HEARTBEAT_S, answer, follower, forwarded, hand_in


@pytest.mark.parametrize(
    ("told", "retry_after_ms", "cause", "retry_after_s"),
    [
        (b"disk", 250, OverloadCause.DISK, 0.25),
        (b"", 0, OverloadCause.LEADER, HEARTBEAT_S),  # of an older version
        (b"of tomorrow", 10**9, OverloadCause.LEADER, LONGEST_RETRY_S),
    ],
)
def test_a_leader_without_room_says_why_and_when_to_come_back(
    told: bytes, retry_after_ms: int, cause: OverloadCause, retry_after_s: float
) -> None:
    role = follower()
    [mine], effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    reply = attrs.evolve(answer(message, Forwarded.OVERLOADED), cause=told, retry_after_ms=retry_after_ms)
    error = dict(refused(receive(role, "n2", reply)))[mine]
    assert isinstance(error, Overloaded)
    assert (error.cause, error.retry_after_s) == (cause, retry_after_s)
