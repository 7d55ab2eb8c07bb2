"""One seed from start to end: a cluster, clients, a plan of faults, and what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from random import Random

import attrs
import trio

from raft_actors.actors.one_error import leaves
from raft_actors.errors import ConfigurationError
from raft_actors.observe.trace import Event, Trace
from raft_actors.testing.cluster import RELIABLE
from raft_actors.testing.event_queue import SimulationClock
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.fault_injector import FaultInjector
from raft_actors.testing.hash_seed import hash_seed
from raft_actors.testing.linearizability import Verdict
from raft_actors.testing.plans import LEAST_NODES, MOST_NODES, Plan
from raft_actors.testing.simulation import Simulation, simulate
from raft_actors.testing.store import Change, Load, Store, StoreModel

#: A cluster that does not end what it does in so many simulated seconds beyond those under faults hangs.
_HANGS_AFTER_S = 300.0

#: In simulated time, after all is healed.
_ANSWERED_WITHIN_S = 60.0


@attrs.frozen(kw_only=True)
class Options:
    """How seeds are run.

    Attributes:
        nodes: size of the cluster; None: drawn, from 3 to 7.
        seconds: how long it is under faults, in its own time.
        faults: whether there are any.
        trace: keep all events.
        max_steps: of the linearizability checker, for each key.
        profile: what all seeds are about (`profiles.PROFILES`); None: drawn.
    """

    nodes: int | None = None
    seconds: float = 30.0
    faults: bool = True
    trace: bool = False
    max_steps: int = 1_000_000
    profile: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.nodes is not None and self.nodes < 1:
            raise ConfigurationError(f"a cluster has at least 1 node, not {self.nodes}")
        if self.seconds < 0:
            raise ConfigurationError(f"a cluster can't be under faults for {self.seconds} seconds")


@attrs.frozen(kw_only=True)
class SeedReport:
    """What came of a seed.

    Attributes:
        seed: the seed.
        nodes: how many nodes there were.
        hash_seed: PYTHONHASHSEED of the process that ran it; None: it was not set, so hashes differ next time.
        verdict: "ok"; "broken" (an invariant, liveness, or linearizability); "unknown" (the checker gave up).
        broken: name of what was broken, or "".
        text: what happened, in words; "" where all is well.
        events: where something is wrong, the latest events; all of them where a trace was asked for.
        simulated_s: how long it took in the cluster's time.
        cpu_s: how long it took of a processor's.
        messages: sent between nodes.
        calls: made by clients.
        outcomes: what became of proposals whose leader was deposed before it knew: "committed", "not committed",
            "unknown".
        lost_nodes: nodes whose disks were destroyed.
        actions: fault → how often it was brought about.
    """

    seed: int
    nodes: int
    hash_seed: int | None = None
    verdict: str
    broken: str = ""
    text: str = ""
    events: tuple[Event, ...] = attrs.field(default=(), repr=False)
    simulated_s: float
    cpu_s: float
    messages: int = 0
    calls: int = 0
    outcomes: Mapping[str, int] = attrs.field(factory=dict[str, int])
    lost_nodes: int = 0
    actions: Mapping[str, int] = attrs.field(factory=dict[str, int])

    @property
    def ok(self) -> bool:
        """Whether all was well."""
        return self.verdict == "ok"


@attrs.define
class _Run:
    """What is known of a run while it goes on."""

    seed: int
    options: Options
    cluster: Simulation[Change, str] | None = None
    injector: FaultInjector | None = None
    load: Load | None = None
    ended_s: float = 0.0
    undecided: str = ""
    trace: Trace | None = None


def run_seed(seed: int, options: Options | None = None) -> SeedReport:
    """Simulate a cluster as this seed has it, and say what came of it. Not to be called from within Trio.

    Raises:
        ConfigurationError: it would not be repeatable here.
    """
    options = options or Options()
    # Not from the plan's generator: the same seed with its number of nodes given must have the same plan.
    nodes = options.nodes or Random(f"{seed} nodes").randint(LEAST_NODES, MOST_NODES)
    run = _Run(seed, options)
    begin = time.process_time()
    broken = text = ""
    try:
        trio.run(_run, run, nodes, Plan.draw(Random(f"{seed} plan"), options.profile), clock=SimulationClock())
    except ConfigurationError:
        raise
    except BaseException as error:  # noqa: ASYNC103 - not in Trio: a verdict comes of every error but these
        if any(isinstance(leaf, KeyboardInterrupt | SystemExit) for leaf in leaves(error)):
            raise
        broken, text = _words(error)
    return _report(run, nodes, broken, text, time.process_time() - begin)


def _words(error: BaseException) -> tuple[str, str]:
    """What an error says is broken, and how."""
    for leaf in leaves(error):
        if isinstance(leaf, CheckFailed):
            return leaf.broken, str(leaf)
    return "simulation", "".join(traceback.format_exception(error))


def _report(run: _Run, nodes: int, broken: str, text: str, cpu_s: float) -> SeedReport:
    cluster = run.cluster
    verdict = "broken" if broken else "unknown" if run.undecided else "ok"
    keep = run.options.trace or verdict != "ok"
    return SeedReport(
        seed=run.seed,
        nodes=nodes,
        hash_seed=hash_seed(),
        verdict=verdict,
        broken=broken,
        text=text or run.undecided,
        events=tuple(cluster.trace.events()) if keep and cluster is not None else (),
        simulated_s=run.ended_s,
        cpu_s=cpu_s,
        messages=cluster.network.statistics().messages if cluster is not None else 0,
        calls=run.load.calls if run.load is not None else 0,
        outcomes=dict(cluster.watch.facts.outcomes) if cluster is not None else {},
        lost_nodes=len(cluster.lost) if cluster is not None else 0,
        actions=dict(run.injector.taken) if run.injector is not None else {},
    )


async def _run(run: _Run, nodes: int, plan: Plan) -> None:
    seed, options = run.seed, run.options
    if not options.faults:
        plan = attrs.evolve(plan, actions={}, requests=RELIABLE, replies=RELIABLE, client_crashes=0.0)
    try:
        with trio.fail_after(options.seconds + _HANGS_AFTER_S):
            async with simulate(
                Store,
                nodes=nodes,
                seed=seed,
                config=plan.config,
                leases=plan.leases,
                disk_delay_s=0.0,
                trace=options.trace,
            ) as cluster:
                run.cluster = cluster
                run.load = load = Load(cluster, plan)
                run.injector = FaultInjector(cluster, plan)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(load.run)
                    await run.injector.run(options.seconds)
                    await cluster.check_liveness()
                    load.stop()
                    with trio.move_on_after(_ANSWERED_WITHIN_S) as patience:
                        await load.wait_stopped()
                    if patience.cancelled_caught:
                        raise cluster.failed("liveness: a client was not answered in time after all was healed")
                    # Now that nobody proposes anything, heartbeats alone must hold the cluster together.
                    await cluster.check_liveness()
                report = cluster.check_linearizable(StoreModel(), max_steps=options.max_steps)
                if report.verdict is Verdict.UNDECIDED:
                    run.undecided = str(report)
    finally:
        run.ended_s = trio.current_time()
