"""Simulations: a cluster with every fault there is, and the block that it lives in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from random import Random
from typing import Any, TypeVar

import trio

from raft_actors.actors.one_error import leaves
from raft_actors.config import Leases, NodeConfig
from raft_actors.errors import ConfigurationError
from raft_actors.state_machine import StateMachine
from raft_actors.testing.clients import Client
from raft_actors.testing.cluster import RELIABLE
from raft_actors.testing.determinism import deterministic_scheduling
from raft_actors.testing.event_queue import is_simulated
from raft_actors.testing.fault_injector import FaultInjector
from raft_actors.testing.faulty_cluster import FaultyCluster
from raft_actors.testing.invariants import STANDARD_INVARIANTS, Invariant
from raft_actors.testing.plans import Plan
from raft_actors.testing.recovery import Recovery
from raft_actors.transports.faults import Faults

C = TypeVar("C")
R = TypeVar("R")

_REAL_TIME = (
    "nothing repeats in real time: run Trio with clock=trio.testing.MockClock(autojump_threshold=0), or simulate with "
    "deterministic=False"
)


class Simulation(FaultyCluster[C, R]):
    """A simulated cluster with clients and faults. Made by `simulate`.

    Faults of one node's disk are methods of `disk(…)`, those of its clock of `clock(…)`. All others are here.
    """

    def __init__(self, *positional: Any, **keywords: Any) -> None:
        super().__init__(*positional, **keywords)
        self._clients = 0

    def client(self, name: str | None = None) -> Client[C, R]:
        """A client of the cluster; what it does goes into the history under its name."""
        self._clients += 1
        return Client(self, name or f"client {self._clients}")

    async def inject_faults(self, seconds: float, plan: Plan | None = None) -> None:
        """Bring faults about for so long, by a plan that is drawn from the seed unless one is given; then heal all.

        Nodes that crash meanwhile are started again, at the latest at the end. Those whose disk was destroyed stay
        out, which are never so many that no majority is left.
        """
        if plan is None:
            plan = Plan.draw(Random(f"{self.seed} plan"))
        await FaultInjector(self, plan).run(seconds)

    async def check_liveness(self, *, within_s: float = 60.0) -> None:
        """Heal all, and see the cluster elect a leader, converge and commit within a bound of its own time.

        Raises:
            CheckFailed: it did not.
        """
        await Recovery(self, within_s).run()


@asynccontextmanager
async def simulate(  # noqa: PLR0913 - all but the first by keyword
    state_machine: Callable[[], StateMachine[C, R]],
    *,
    nodes: int = 3,
    joiners: int = 0,
    seed: int = 0,
    config: NodeConfig | None = None,
    leases: Leases | None = None,
    faults: Faults = RELIABLE,
    disk_delay_s: float = 0.001,
    deterministic: bool = True,
    trace: bool = False,
    invariants: Iterable[Callable[[], Invariant]] = STANDARD_INVARIANTS,
) -> AsyncGenerator[Simulation[C, R], None]:
    """Simulate a cluster of `nodes` nodes for the length of an `async with` block; its end crashes them all.

    Run it with the clock `trio.testing.MockClock(autojump_threshold=0)`.

    Args:
        state_machine: makes a fresh state machine for each start of a node.
        joiners: nodes beside those, which are no members until `Node.change_members` makes them some.
        seed: of the network, the nodes, `SimulatedCluster.rng` and Trio's scheduler.
        config: for every node; its `seed` is replaced by one that follows from the cluster's.
        leases: of leaders, on clocks of their own (`SimulatedClock.boottime_rate`).
        faults, disk_delay_s: of all messages, and of each write.
        deterministic: insist on a simulated clock, and schedule tasks in an order drawn from the seed.
        trace: keep all events in `cluster.trace`, not only the latest.
        invariants: what makes each invariant that is checked after every step.

    Raises:
        ConfigurationError: it can't be deterministic here.
        CheckFailed: a node crashed, or the nodes contradict each other.
        BaseException: what the block raised, as itself, with a note of the seed.
    """
    if deterministic and not is_simulated(trio.lowlevel.current_clock()):
        raise ConfigurationError(_REAL_TIME)
    error: BaseException | None = None
    with deterministic_scheduling(seed) if deterministic else nullcontext():
        async with trio.open_nursery() as surroundings, trio.open_nursery() as nursery:
            cluster: Simulation[C, R] = Simulation(
                state_machine,
                nursery,
                nodes=nodes,
                joiners=joiners,
                seed=seed,
                config=config or NodeConfig(),
                leases=leases,
                faults=faults,
                disk_delay_s=disk_delay_s,
                trace=trace,
                invariants=invariants,
            )
            surroundings.start_soon(cluster.event_queue.run)
            try:
                for name in cluster.node_ids:
                    await cluster.start(name)
                yield cluster
                cluster.final_checks()
            except BaseException as raised:  # noqa: ASYNC103, BLE001 - raised again below, outside of the nursery's group
                error = raised
            cluster.crash_all()
            nursery.cancel_scope.cancel()
            surroundings.cancel_scope.cancel()
    # The failure cancels the block, which may come out of the block's own nurseries as a group of cancellations.
    mere = error is None or all(isinstance(leaf, (trio.Cancelled, Exception)) for leaf in leaves(error))
    if cluster.failure is not None and mere:
        raise cluster.failure
    if error is not None:
        error.add_note(f"in a simulated cluster with seed {seed}")
        raise error


open_cluster = simulate
"""The same by an older name."""
