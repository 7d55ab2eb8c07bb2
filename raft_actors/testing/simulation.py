"""Simulations: a cluster with every fault there is, and the block that it lives in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

import trio
from trio.testing import MockClock

from raft_actors.config import NodeConfig
from raft_actors.errors import ConfigurationError
from raft_actors.groups import leaves
from raft_actors.state_machine import StateMachine
from raft_actors.testing.cluster import RELIABLE, SimulatedCluster
from raft_actors.testing.determinism import deterministic_scheduling
from raft_actors.testing.invariants import STANDARD_INVARIANTS, Invariant
from raft_actors.transports.faults import Faults

C = TypeVar("C")
R = TypeVar("R")


class Simulation(SimulatedCluster[C, R]):
    """A cluster in trouble. Made by `simulate`."""

    # --- processes ---

    def pause(self, node_id: str, *, clock_stands: bool = False) -> None:
        """Stop a node in its tracks, as SIGSTOP does: messages, its disk's answers and its timers wait until `resume`.

        Its clock goes on meanwhile, unless `clock_stands` (as when a virtual machine is suspended). What a test calls
        on the node's own object goes through all the same; what a client of the simulation does waits.
        """
        member = self._members[node_id]
        member.get()
        member.gate.shut = True
        if clock_stands:
            member.clock.set_rate(0.0)
        self.trace.add("pause", node_id)

    def resume(self, *node_ids: str) -> None:
        """Let paused nodes (by default all) go on where they were."""
        for name in node_ids or self.node_ids:
            member = self._members[name]
            if member.gate.shut:
                self.trace.add("resume", name)
                if member.clock.rate == 0:
                    member.clock.set_rate(1.0)
                self.agenda.open(member.gate)


@asynccontextmanager
async def simulate(  # noqa: PLR0913 - all but the first by keyword
    state_machine: Callable[[], StateMachine[C, R]],
    *,
    nodes: int = 3,
    seed: int = 0,
    config: NodeConfig | None = None,
    faults: Faults = RELIABLE,
    disk_delay_s: float = 0.001,
    deterministic: bool = True,
    trace: bool = False,
    invariants: Iterable[Callable[[], Invariant]] = STANDARD_INVARIANTS,
) -> AsyncGenerator[Simulation[C, R], None]:
    """Simulate a cluster of `nodes` nodes for the length of an `async with` block; its end crashes them all.

    Run it in a Trio program whose clock is `trio.testing.MockClock(autojump_threshold=0)`.

    Args:
        state_machine: makes a fresh state machine for each start of a node.
        seed: of the network, the nodes, the test's own choices (`SimulatedCluster.rng`) and Trio's scheduler.
        config: for every node; its `seed` is replaced by one that follows from the cluster's.
        faults: of all messages.
        disk_delay_s: how long each write takes on each disk.
        deterministic: insist on a simulated clock, and have Trio schedule tasks in an order drawn from the seed
            (`deterministic_scheduling`).
        trace: keep all events in `cluster.trace`, not only the latest.
        invariants: what makes each invariant that is checked after every step.

    Raises:
        ConfigurationError: it can't be deterministic here.
        CheckFailed: a node crashed, or the nodes contradict each other.
        BaseException: what the block raised, as itself, with a note of the seed.
    """
    if deterministic and not isinstance(trio.lowlevel.current_clock(), MockClock):
        raise ConfigurationError(
            "nothing repeats in real time: run Trio with clock=trio.testing.MockClock(autojump_threshold=0), or "
            "simulate with deterministic=False"
        )
    error: BaseException | None = None
    with deterministic_scheduling(seed) if deterministic else nullcontext():
        async with trio.open_nursery() as surroundings, trio.open_nursery() as nursery:
            cluster = Simulation(
                state_machine,
                nursery,
                nodes=nodes,
                seed=seed,
                config=config or NodeConfig(),
                faults=faults,
                disk_delay_s=disk_delay_s,
                trace=trace,
                invariants=invariants,
            )
            surroundings.start_soon(cluster.agenda.run)
            try:
                for name in cluster.node_ids:
                    await cluster.start(name)
                yield cluster
                cluster.final_checks()
            except BaseException as raised:  # noqa: ASYNC103, BLE001 - raised again below, outside of the nursery's group
                error = raised
            for name in cluster.nodes:
                cluster.crash(name)
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
