"""Tests of applications on raft_actors: simulated clusters, and a linearizability checker.

Run them in a Trio program whose clock is `trio.testing.MockClock(autojump_threshold=0)`: a minute of the cluster's time
then takes a moment, and the same seed gives the same run.

    async with simulate(KeyValue, nodes=5, seed=7) as cluster:
        await cluster.wait_for_one_leader()
        await cluster.one(Put("a", "1"), expected=5)
        cluster.partition({"n1", "n2"}, {"n3", "n4", "n5"})
        …

With pytest: `pytest_plugin`. With Hypothesis: `stateful`. Not imported by `raft_actors` itself; needs nothing but what
that needs, but for these two.
"""

from raft_actors.client.errors import OutcomeUnknown
from raft_actors.observe.trace import Trace
from raft_actors.testing.clients import Client
from raft_actors.testing.cluster import RELIABLE, UNRELIABLE, SimulatedCluster
from raft_actors.testing.determinism import deterministic_scheduling
from raft_actors.testing.facts import AppliedEntry, Facts
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.faulty_cluster import FaultyCluster
from raft_actors.testing.history import Call, History, Outcome, outcome_of
from raft_actors.testing.hooks import Hooks
from raft_actors.testing.invariants import STANDARD_INVARIANTS, Invariant
from raft_actors.testing.life import Life
from raft_actors.testing.linearizability import UNKNOWN, Model, Operation, Report, Verdict, check_history
from raft_actors.testing.members import Started
from raft_actors.testing.models import CounterModel, KeyValueModel, QueueModel, RegisterModel
from raft_actors.testing.plan import PlannedFaults
from raft_actors.testing.plans import Plan
from raft_actors.testing.runner import Options, SeedReport, run_seed
from raft_actors.testing.script import OFTEN_SNAPSHOTS, Scenario, Step
from raft_actors.testing.simulation import Simulation, open_cluster, simulate
from raft_actors.testing.state_machines import check_state_machine

__all__ = [
    "OFTEN_SNAPSHOTS",
    "RELIABLE",
    "STANDARD_INVARIANTS",
    "UNKNOWN",
    "UNRELIABLE",
    "AppliedEntry",
    "Call",
    "CheckFailed",
    "Client",
    "CounterModel",
    "Facts",
    "FaultyCluster",
    "History",
    "Hooks",
    "Invariant",
    "KeyValueModel",
    "Life",
    "Model",
    "Operation",
    "Options",
    "Outcome",
    "OutcomeUnknown",
    "Plan",
    "PlannedFaults",
    "QueueModel",
    "RegisterModel",
    "Report",
    "Scenario",
    "SeedReport",
    "SimulatedCluster",
    "Simulation",
    "Started",
    "Step",
    "Trace",
    "Verdict",
    "check_history",
    "check_state_machine",
    "deterministic_scheduling",
    "open_cluster",
    "outcome_of",
    "run_seed",
    "simulate",
]
