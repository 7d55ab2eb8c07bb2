"""The roles of a Raft node: what each decides. `node.role_actors` has an actor for each."""

from raft_actors.raft.roles.candidate import Candidate
from raft_actors.raft.roles.follower import Follower
from raft_actors.raft.roles.leader import Leader
from raft_actors.raft.roles.pre_candidate import PreCandidate
from raft_actors.raft.roles.role import Role

__all__ = ["Candidate", "Follower", "Leader", "PreCandidate", "Role"]
