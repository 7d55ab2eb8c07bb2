"""Leaders and members that go, in whole clusters and simulated time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

import pytest
import trio

from raft_actors import (
    BoundedStale,
    ChangeFailed,
    ChangePhase,
    LeadershipLost,
    Linearizable,
    Local,
    MembershipChanged,
    Node,
    NotLeader,
    NotMember,
    ProposalError,
    ReadYourWrites,
)
from tests.cluster.membership import change, joint_at, newcomers, until
from tests.cluster.support import Commands, LogCluster, follower, open_log, seeds

# --- leaders that go ----------------------------------------------------------------------------------------------


@seeds(12)
async def test_the_next_leader_leaves_the_joint_configuration(seed: int) -> None:
    command = Commands()
    async with open_log(3, seed, joiners=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        with trio.move_on_after(20), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def crash_it_once_joint() -> None:
                    await until(cluster, lambda: joint_at(cluster, leader))
                    await trio.sleep(cluster.rng.uniform(0, 0.003))
                    cluster.crash(leader)
                    scope.cancel()

                nursery.start_soon(crash_it_once_joint)
                await cluster.node(leader).change_members(newcomers("n3", "n4", "n5"))
        await until(
            cluster,
            lambda: (
                (members := cluster.members()) is not None and members.phase is ChangePhase.STABLE and members.committed
            ),
        )
        members = await change(cluster, {"n3", "n4", "n5"})
        assert members.voters == {"n3", "n4", "n5"}
        await cluster.one(command(), 3 - (leader == "n3"))


@seeds(5)
async def test_a_leader_that_removes_itself_hands_over_and_no_proposal_fails(seed: int) -> None:
    done: list[bytes] = []
    failures: list[Exception] = []

    async def propose_on_and_on(cluster: LogCluster, command: bytes) -> None:
        number, name = 0, await cluster.wait_for_one_leader()
        while True:  # noqa: ASYNC913 - every way through the inner loop waits
            number += 1
            one = command + b" %d" % number
            while True:
                try:
                    await cluster.node(name).propose(one)
                except NotLeader as refusal:
                    name = refusal.leader or await cluster.node(name).wait_leader_changed(refusal)
                    continue
                except Exception as error:  # noqa: BLE001 - every kind counts
                    failures.append(error)
                break
            done.append(one)

    async with open_log(3, seed, joiners=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(propose_on_and_on, cluster, b"client %d" % number)
            await trio.sleep(0.5)
            stay = sorted({"n1", "n2", "n3"} - {leader})
            members = await cluster.node(leader).change_members(newcomers(*stay, "n4"))
            assert members.voters == {*stay, "n4"}
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert failures == []
        assert not cluster.node(leader).status().is_member
        await cluster.one(b"the last", 3)
        successor = cluster.state_machine(await cluster.wait_for_one_leader())
        assert sorted(done) == sorted(set(done))
        assert set(done) <= set(successor.commands_applied)


@pytest.mark.parametrize("stays", [True, False])
async def test_what_goes_on_while_a_node_leads_ends_only_where_the_leader_removes_itself(stays: bool) -> None:
    async with open_log(3, 1, joiners=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        entered, ended = trio.Event(), list[str | None]()

        async def lead() -> None:
            async with cluster.node(leader).while_leading() as leadership:
                entered.set()
                await trio.sleep(3600)
            ended.append(leadership.ended)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await entered.wait()
            goal = {"n4", "n5", leader} if stays else {"n4", "n5"}
            assert (await cluster.node(leader).change_members(newcomers(*goal))).voters == goal
            assert ended == ([] if stays else ["leadership is handed to another node"])
            nursery.cancel_scope.cancel()


@seeds(3)
async def test_one_that_was_removed_disturbs_nobody(seed: int) -> None:
    async with open_log(4, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        gone = next(name for name in cluster.node_ids if name != leader)
        cluster.disconnect(gone)  # so that it never hears of it
        await change(cluster, {*cluster.node_ids} - {gone})
        term = cluster.node(leader).status().term
        await trio.sleep(10)
        cluster.connect(gone)
        await trio.sleep(10)
        cluster.crash(gone)
        await cluster.start(gone)
        await trio.sleep(10)
        assert (await cluster.wait_for_one_leader(), cluster.node(leader).status().term) == (leader, term)


@seeds(3)
async def test_a_restart_remembers_what_was_appended_and_not_committed(seed: int) -> None:
    async with open_log(3, seed, joiners=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        others = [name for name in ("n1", "n2", "n3") if name != leader]
        cluster.partition({leader, "n4"}, set(others))
        with trio.move_on_after(0.1):
            await cluster.node(leader).change_members(newcomers("n1", "n2", "n3", "n4"))
        assert not cluster.node(leader).members().committed
        cluster.crash(leader)
        await cluster.start(leader)
        assert cluster.node(leader).members().goal_voters == {"n1", "n2", "n3", "n4"}
        await cluster.one(b"x", 2)  # by the others, who have never heard of it
        cluster.heal()
        await cluster.one(b"y", 3)
        assert cluster.node(leader).members().voters == {"n1", "n2", "n3"}
        assert cluster.node(leader).members().goal_voters == {"n1", "n2", "n3"}


# --- being told ---------------------------------------------------------------------------------------------------


async def test_who_was_removed_and_added_again_with_no_store_named_is_a_member_at_once() -> None:
    """Whoever waits there to lead goes on waiting, before anybody has met its store."""
    async with open_log(3, 1) as cluster, trio.open_nursery() as nursery:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"x", 3)
        await trio.sleep(2)  # until the members are bound to their stores
        gone = next(name for name in ("n1", "n2", "n3") if name != leader)
        await change(cluster, {"n1", "n2", "n3"} - {gone})
        node, led = cluster.node(gone), trio.Event()

        async def lead() -> None:
            async with node.while_leading():
                led.set()

        await change(cluster, {"n1", "n2", "n3"} - {gone}, learners={gone})
        await until(cluster, lambda: gone in node.members().members)
        assert not node.members().members[gone].incarnation
        nursery.start_soon(lead)
        await change(cluster, {"n1", "n2", "n3"})
        await trio.sleep(5)
        await cluster.node(leader).transfer_leadership(gone)
        with trio.fail_after(5):
            await led.wait()


async def test_a_leader_that_removes_itself_hears_of_its_change_though_nobody_tells_it_any_more() -> None:
    """It holds the entry by which it goes, and those who decide alone are out of reach."""
    async with open_log(3, 1) as cluster, trio.open_nursery() as nursery:
        leader = await cluster.wait_for_one_leader()
        node, rest = cluster.node(leader), frozenset({"n1", "n2", "n3"} - {leader})

        async def lose_it() -> None:
            await until(cluster, lambda: leader not in node.members().members)
            cluster.disconnect(leader)

        nursery.start_soon(lose_it)
        with trio.fail_after(10):
            members = await node.change_members(newcomers(*rest))
        assert members.voters == rest
        assert not members.committed
        with trio.fail_after(10):
            await until(cluster, lambda: all(cluster.node(name).members().voters == rest for name in rest))


async def test_who_was_removed_says_so_once_and_serves_nothing_but_its_own_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing waits there for what never comes: to lead, or to have applied more. Who has yet to join waits on."""
    waited = list[str]()
    async with open_log(3, 1, joiners=1) as cluster, trio.open_nursery() as nursery:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"x", 3)
        await trio.sleep(2)  # until the members are bound to their stores
        gone = next(name for name in ("n1", "n2", "n3") if name != leader)
        node, newcomer = cluster.node(gone), cluster.node("n4")

        async def lead(who: Node[Any]) -> None:
            try:
                async with who.while_leading():
                    waited.append("leads")
            except NotMember:
                waited.append("leads never")

        async def read_later() -> None:
            try:
                await node.read(lambda _: waited.append("reads"), ReadYourWrites(node.read_token() + 1_000))
            except NotMember:
                waited.append("reads never")

        nursery.start_soon(lead, node)
        nursery.start_soon(lead, newcomer)
        nursery.start_soon(read_later)
        assert await node.read(lambda log: log.inner.commands_applied, BoundedStale(seconds=3600)) == [b"x"]
        assert not waited
        token = node.read_token()
        await change(cluster, {"n1", "n2", "n3"} - {gone})
        assert not node.status().is_member
        for level in (BoundedStale(seconds=3600), ReadYourWrites(token), Linearizable(), BoundedStale(entries=9)):
            with pytest.raises(NotMember):
                await node.read(lambda _: pytest.fail("it read"), level)
        assert await node.read(lambda log: log.inner.commands_applied, Local()) == [b"x"]
        await trio.sleep(1)
        assert sorted(waited) == ["leads never", "reads never"]
        with pytest.raises(NotMember):
            async with node.while_leading():
                pytest.fail("it leads")
        told = [record.getMessage() for record in caplog.records if "was removed from the cluster" in record.message]
        assert [(text.split(":")[0], "store can be deleted" in text) for text in told] == [(f"node {gone}", True)]
        await change(cluster, {"n4"})
        await trio.sleep(1)
        assert waited[2:] == ["leads"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("session", [False, True])
@seeds(3)
async def test_nobody_waits_for_ever_at_a_member_that_misses_the_end_of_its_removal(seed: int, session: bool) -> None:
    """Its log says that it was removed, and it is cut off until its leader has taken leave of it. So nobody ever says
    more, neither of its own proposals, which were committed, nor of its removal.
    """
    async with open_log(4, seed) as cluster, trio.open_nursery() as nursery:
        leader = await cluster.wait_for_one_leader()
        await trio.sleep(6)  # until the members are bound to their stores
        gone = follower(cluster, leader)
        node, outcomes = cluster.node(gone), dict[bytes, object]()
        state = node._supervisor.state
        assert state is not None
        opened: AbstractAsyncContextManager[Any] = node.session(end=False) if session else nullcontext(node)

        async def wait(name: bytes, wait: Callable[[], Awaitable[object]]) -> None:
            try:
                outcomes[name] = await wait()
            except ProposalError as error:
                outcomes[name] = type(error)

        async def lead() -> None:
            async with node.while_leading():
                pass

        async with opened as proposer:
            await proposer.propose(b"first")
            nursery.start_soon(change, cluster, {*cluster.node_ids} - {gone})
            commands = list[bytes]()
            while state.is_member:
                commands.append(b"%d" % len(commands))
                nursery.start_soon(wait, commands[-1], partial(proposer.propose, commands[-1]))  # noqa: ASYNC111 - all end before
                await trio.sleep(0.0002)
            for name, waits in (
                (b"leads", lead),
                (b"leader", partial(node.wait_leader_changed, NotLeader(leader, term=state.term))),
                (b"applied", partial(node.wait_applied, 10**6)),
                (b"reads", partial(node.read, lambda _: None, ReadYourWrites(10**6))),
            ):
                nursery.start_soon(wait, name, waits)
            cluster.network.cut(leader, gone)
            await trio.sleep(30)
            cluster.heal()
            await trio.sleep(5)
            assert not state.was_removed  # as far as it knows
            assert outcomes.keys() == {*commands, b"leads", b"leader", b"applied", b"reads"}
            assert {outcomes[name] for name in (b"leads", b"leader", b"applied", b"reads")} == {NotMember}
            unknown = {command for command in commands if outcomes[command] is LeadershipLost}
            committed = {entry.command for entry in cluster.facts.history}
            assert unknown & committed
            assert {command for command in commands if outcomes[command] is NotMember}.isdisjoint(committed)
            if session:
                assert {*proposer.state().open.values()} == unknown
        with pytest.raises(NotMember):
            await node.wait_leader()
        await change(cluster, set(cluster.node_ids))
        assert await node.wait_leader() == leader
        await node.wait_applied(cluster.node(leader).status().commit_index)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("leads", [True, False])
@seeds(2)
async def test_a_node_leaves_for_good(leads: bool, seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        leaver = leader if leads else next(name for name in cluster.node_ids if name != leader)
        await cluster.node(leaver).aclose(leave=True)
        rest = sorted({*cluster.node_ids} - {leaver})
        await until(cluster, lambda: (members := cluster.members()) is not None and sorted(members.voters) == rest)
        await cluster.one(b"x", 2)


async def test_the_last_voter_can_not_leave() -> None:
    async with open_log(1, 1) as cluster:
        await cluster.wait_for_one_leader()
        node = cluster.node("n1")
        with pytest.raises(ChangeFailed, match="has stopped, and may still be a member"):
            await node.aclose(leave=True)


async def test_events_tell_each_configuration_when_it_is_in_force_and_when_it_stays() -> None:
    async with open_log(1, 1, joiners=1) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        async with node.events() as channel:
            await node.change_members(newcomers("n2"))
            told_so: list[MembershipChanged] = []
            while (
                not told_so or not told_so[-1].committed or sorted(told_so[-1].voters) != ["n2"] or told_so[-1].outgoing
            ):
                event = await channel.receive()
                if isinstance(event, MembershipChanged):
                    told_so.append(event)
        appended = [(sorted(event.voters), sorted(event.outgoing)) for event in told_so if not event.committed]
        # It joins, its store is named, it votes beside the one before, and then alone.
        way = [(["n1"], []), (["n1"], []), (["n2"], ["n1"]), (["n2"], []), (["n2"], [])]
        assert appended == way[: len(appended)]
        assert len(appended) >= 4
        assert node.statistics().membership_changes >= 3
