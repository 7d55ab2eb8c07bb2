"""Checks of one state machine on its own, without a cluster: the mistakes that make replicas diverge."""

from raft_actors.testing.state_machines.check import check_state_machine

__all__ = ["check_state_machine"]
