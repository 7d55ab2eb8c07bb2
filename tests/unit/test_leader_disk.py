"""A leader whose own disk does nothing: it leads on while that costs nothing, and leaves when others do better."""

from __future__ import annotations

from raft_actors.raft.effects import Effect
from raft_actors.raft.inputs import TimerFired
from raft_actors.raft.messages import AppendEntriesAccepted
from raft_actors.raft.roles import Leader
from tests.unit.builders import append, became, make_durable, make_follower, make_leader, propose, receive, step


def accepted(match_index: int) -> AppendEntriesAccepted:
    return AppendEntriesAccepted(2, match_index)


def _leader_with_a_silent_disk(commit: bool = True) -> tuple[Leader, list[Effect]]:
    """It proposed something, which only the followers have by now, if anybody."""
    leader = make_leader()
    propose(leader, b"x")
    effects = step(leader)
    if commit:
        receive(leader, "n2", accepted(2), now=0.1)
        receive(leader, "n3", accepted(2), now=0.1)
        assert leader.state.commit_index == 2
    return leader, effects


def _beat_until(leader: Leader, until: float) -> float | None:
    """Let it beat, always answered; when it stepped down, if it did."""
    while leader.deadline <= until:
        now = leader.deadline
        for peer in leader.state.peers:
            leader.contact.last_contact[peer] = now
        if became(leader.handle(TimerFired(), now)):
            return now
    return None


def test_steps_down_when_its_disk_does_nothing_for_long_and_the_others_are_ahead() -> None:
    leader, _ = _leader_with_a_silent_disk()
    assert 0.8 <= (_beat_until(leader, 5.0) or 0.0) <= 1.0
    assert leader.state.leader is None


def test_goes_on_when_its_disk_comes_back_within_half_a_second() -> None:
    leader, effects = _leader_with_a_silent_disk()
    assert _beat_until(leader, 0.5) is None
    make_durable(leader, effects)
    assert _beat_until(leader, 5.0) is None


def test_goes_on_with_a_disk_that_is_slow_and_works() -> None:
    leader, effects = _leader_with_a_silent_disk()
    for turn in range(10):
        propose(leader, b"y")
        later = step(leader)
        for peer in leader.state.peers:
            receive(leader, peer, accepted(leader.state.log.last_index))
        assert leader.state.commit_index > leader.state.log.durable_index
        assert _beat_until(leader, turn * 0.6) is None
        make_durable(leader, effects)
        effects = later


def test_goes_on_where_the_others_are_not_ahead_of_its_silent_disk() -> None:
    leader, _ = _leader_with_a_silent_disk(commit=False)
    assert _beat_until(leader, 5.0) is None


def test_one_that_was_held_up_looks_at_its_disk_anew() -> None:
    leader, _ = _leader_with_a_silent_disk()
    assert became(leader.handle(TimerFired(), 60.0)) == []
    assert _beat_until(leader, 60.7) is None
    assert _beat_until(leader, 65.0) is not None


def test_does_not_stand_while_its_disk_lacks_entries() -> None:
    """What it was sent is not durable here: its disk may hang, and another node can do better."""
    follower = make_follower([1], pre_vote=False)  # with them, it may ask, but not stand
    effects = receive(follower, "n2", append(1, 1, [1], term=1))
    assert follower.state.log.last_index == 2
    for _ in range(3):
        deadline = follower.deadline
        assert follower.handle(TimerFired(), deadline) == []
        assert deadline + 0.4 <= follower.deadline <= deadline + 0.8
    make_durable(follower, effects)
    assert became(follower.handle(TimerFired(), follower.deadline))
