"""Handing proposals on to a leader that was started again, and knows nothing of its term."""

from __future__ import annotations

from raft_actors.errors import LeadershipLost
from raft_actors.raft.messages import Forwarded
from tests.unit.builders import append, make_durable, receive, refused
from tests.unit.test_forwarding import answer, follower, forwarded, hand_in


def test_who_does_not_remember_to_have_led_is_handed_nothing_more_in_that_term() -> None:
    """It was started again, and this member has not heard of it: to try again would be a busy loop until it has."""
    role = follower()
    [mine], effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    assert isinstance(dict(refused(receive(role, "n2", answer(message, Forwarded.UNKNOWN))))[mine], LeadershipLost)
    _, effects = hand_in(role, b"b", now=1.0)
    assert forwarded(effects) == forwarded(role.end_of_step(2.0)) == []
    make_durable(role, receive(role, "n3", append(1, 1, term=2), now=2.0))
    [again] = forwarded(role.end_of_step(2.0))
    assert (again.term, again.entries[0].commands()) == (2, [b"b"])


def test_what_a_former_leader_has_forgotten_does_not_keep_proposals_from_the_next_one() -> None:
    role = follower()
    _, effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    make_durable(role, receive(role, "n3", append(1, 1, term=2)))
    role.end_of_step(0.0)
    receive(role, "n2", answer(message, Forwarded.UNKNOWN))
    _, effects = hand_in(role, b"b")
    assert [each.entries[0].commands() for each in forwarded(effects)] == [[b"b"]]
