"""The three roles of a Raft node, an actor class each."""

from raft_actors.raft.roles.candidate import Candidate
from raft_actors.raft.roles.follower import Follower
from raft_actors.raft.roles.leader import Leader
from raft_actors.raft.roles.role import Role, Services

__all__ = ["Candidate", "Follower", "Leader", "Role", "Services"]
