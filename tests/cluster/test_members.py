"""Members that come and go, in whole clusters and simulated time."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import trio

from raft_actors import (
    BoundedStale,
    ChangeFailed,
    ChangePhase,
    ChangeRefused,
    Linearizable,
    MembersStatus,
    NotLeader,
    NotMember,
    ReadYourWrites,
)
from raft_actors.raft.membership import Member
from tests.cluster.membership import change, joint_at, newcomers, until
from tests.cluster.support import Commands, open_log, seeds, snapshotting

TEN = [f"n{number}" for number in range(1, 11)]

SETS = [
    ({"n1"}, {"n1", "n2", "n3"}),
    ({"n1", "n2", "n3"}, {"n1"}),
    ({"n1", "n2", "n3"}, {"n3", "n4", "n5"}),
    ({"n1", "n2", "n3"}, {"n4", "n5", "n6"}),
    ({"n1", "n2"}, {"n3"}),
    ({"n1", "n2", "n3"}, {"n1", "n2", "n3", "n4", "n5"}),
    ({"n1", "n2", "n3", "n4", "n5"}, {"n5"}),
    ({*TEN[:7]}, {*TEN[3:]}),
]


@pytest.mark.parametrize(("before", "after"), SETS, ids=lambda names: "+".join(sorted(names)))
@seeds(2)
async def test_any_set_becomes_any_other_in_one_call(before: set[str], after: set[str], seed: int) -> None:
    command = Commands()
    async with open_log(len(before), seed, joiners=len(after - before)) as cluster:
        await cluster.wait_for_one_leader()
        await cluster.one(command(), len(before))
        members = await change(cluster, after)
        assert (sorted(members.voters), sorted(members.learners), members.phase) == (
            sorted(after),
            [],
            ChangePhase.STABLE,
        )
        await cluster.one(command(), len(after))
        leader = await cluster.wait_for_one_leader()
        assert leader in after
        # And those that were removed have been told so.
        for gone in before - after:
            assert not cluster.node(gone).status().is_member
            with pytest.raises(NotMember):
                await cluster.node(gone).propose(command())


# --- newcomers ----------------------------------------------------------------------------------------------------


@seeds(3)
async def test_a_newcomer_that_does_not_answer_stays_a_learner_and_the_call_says_so(seed: int) -> None:
    """hashicorp/raft and etcd say success, and the cluster of one stops half a second later."""
    command = Commands()
    async with open_log(1, seed, joiners=1) as cluster:
        await cluster.wait_for_one_leader()
        cluster.disconnect("n2")
        with pytest.raises(ChangeFailed, match=r"'n2' did not answer .* stays a learner: .* The voters are n1"):
            await cluster.node("n1").change_members(newcomers("n1", "n2"))
        await cluster.one(command(), 1, retry=False)
        members = cluster.node("n1").members()
        assert (sorted(members.voters), sorted(members.learners), members.phase) == (["n1"], ["n2"], ChangePhase.STABLE)
        cluster.connect("n2")
        members = await cluster.node("n1").change_members({"n1", "n2"})
        assert members.voters == {"n1", "n2"}
        await cluster.one(command(), 2)


@seeds(8)
async def test_a_newcomer_that_ends_just_when_it_counts_costs_no_quorum(seed: int) -> None:
    """etcd promotes a learner that was killed two seconds before."""
    command = Commands()
    async with open_log(1, seed, joiners=1) as cluster:
        await cluster.wait_for_one_leader()
        await cluster.one(command(), 1)
        async with trio.open_nursery() as nursery:

            async def crash_it_once_joint() -> None:
                await until(cluster, lambda: joint_at(cluster, "n1"))
                cluster.crash("n2")

            nursery.start_soon(crash_it_once_joint)
            with pytest.raises(ChangeFailed, match=r"'n2' did not answer .* stays a learner"):
                await cluster.node("n1").change_members(newcomers("n1", "n2"))
        await cluster.one(command(), 1, retry=False)
        assert cluster.node("n1").members().voters == {"n1"}


async def test_without_promote_only_who_holds_all_becomes_a_voter() -> None:
    async with open_log(1, 1, joiners=1) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        with pytest.raises(ChangeRefused, match=r"'n2' can't vote yet: .*promote=True"):
            await node.change_members(newcomers("n1", "n2"), promote=False)
        members = await node.change_members(learners=newcomers("n2"))
        assert (sorted(members.voters), sorted(members.learners)) == (["n1"], ["n2"])
        await cluster.one(b"x", 2)
        await until(cluster, lambda: all(one.incarnation for one in node.members().members.values()))
        await until(cluster, lambda: not node.members().members["n2"].behind)  # it will lack nothing, but not answer
        cluster.disconnect("n2")
        await trio.sleep(2)
        with pytest.raises(ChangeRefused, match="'n2' can't vote yet"):
            await node.change_members({"n1", "n2"}, set(), promote=False)
        cluster.connect("n2")
        await until(cluster, lambda: (node.members().members["n2"].silent_s or 9) < 0.2)
        members = await node.change_members({"n1", "n2"}, set(), promote=False)
        assert members.voters == {"n1", "n2"}


async def test_members_tell_how_far_each_has_caught_up() -> None:
    command = Commands()
    async with open_log(1, 1, joiners=1) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        for _ in range(50):
            await node.propose(command())
        cluster.disconnect("n2")
        members = await node.change_members(learners={"n2": Member("n2.test:1", {"zone": "b"})})
        new = members.members["n2"]
        assert (new.address, new.metadata, new.is_voter, new.match_index, new.silent_s) == (
            "n2.test:1",
            {"zone": "b"},
            False,
            0,
            None,
        )
        assert (new.behind or 0) >= 50
        cluster.connect("n2")
        await until(cluster, lambda: node.members().members["n2"].behind == 0)
        at_n2 = cluster.node("n2").members()
        assert (at_n2.config, at_n2.members["n1"].behind) == (members.config, None)
        assert (cluster.node("n2").status().learners, cluster.node("n2").status().voters) == (("n2",), ("n1",))


@seeds(2)
async def test_a_learner_neither_votes_nor_leads(seed: int) -> None:
    async with open_log(2, seed, joiners=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).change_members(learners=newcomers("n3", "n4"))
        await cluster.one(b"x", 4)
        with pytest.raises(Exception, match="'n3' is no voter of this cluster"):
            await cluster.node(leader).transfer_leadership("n3")
        cluster.disconnect(leader)
        await trio.sleep(5)
        cluster.expect_no_leader()  # one voter and two learners are no majority of two voters
        cluster.connect(leader)
        await cluster.one(b"y", 4)


async def test_a_learner_that_stays_one_is_there_to_read_at_until_it_is_removed() -> None:
    async with open_log(3, 1, joiners=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).change_members(learners=newcomers("n4"))
        learner, command = cluster.node("n4"), Commands()

        async def read_all() -> None:
            for bound in (Linearizable(), BoundedStale(seconds=0.0), BoundedStale(entries=0), None):
                last = command()
                await cluster.node(leader).propose(last)
                level = bound or ReadYourWrites(cluster.node(leader).read_token())
                assert await learner.read(lambda log: log.inner.commands_applied[-1], level) == last

        await read_all()
        members = await change(cluster, {leader, "n5"}, {"n4"})  # whoever votes meanwhile
        assert members.learners == {"n4"}
        await read_all()
        await change(cluster, {leader, "n5"})
        await trio.sleep(1)  # what it has is younger than no bound any more
        for level in (Linearizable(), BoundedStale(seconds=1.0), BoundedStale(entries=5)):
            with pytest.raises(NotMember):
                await learner.read(lambda _: pytest.fail("it read"), level)


async def test_who_does_not_lead_says_what_the_application_has_made_known_of_who_does() -> None:
    async with open_log(2, 1, joiners=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        known = {name: Member(f"{name}.test:1", {"http": f"{name}.test:80"}) for name in ("n1", "n2", "n3")}
        await cluster.node(leader).change_members(known)
        await cluster.one(b"x", 3)
        for name in known.keys() - {leader}:
            with pytest.raises(NotLeader) as refused:
                await cluster.node(name).propose(b"y", forward=False)
            assert (refused.value.leader, refused.value.metadata) == (leader, {"http": f"{leader}.test:80"})


@seeds(3)
async def test_a_member_is_added_while_another_is_down(seed: int) -> None:
    """etcd refuses (21667, 10114), although there is a quorum, before and after."""
    async with open_log(3, seed, joiners=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        down = next(name for name in ("n1", "n2", "n3") if name != leader)
        cluster.crash(down)
        members = await cluster.node(leader).change_members(newcomers("n1", "n2", "n3", "n4"))
        assert members.voters == {"n1", "n2", "n3", "n4"}
        await cluster.one(b"x", 3)
        # One that never comes back is replaced, without its help.
        members = await change(cluster, {"n1", "n2", "n3", "n4"} - {down})
        await cluster.one(b"y", 3)


@seeds(3)
async def test_a_newcomer_that_needs_a_snapshot_learns_the_members_from_it(seed: int) -> None:
    command = Commands()
    async with open_log(2, seed, joiners=2, config=snapshotting(5)) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).change_members(learners=newcomers("n3"))
        for _ in range(20):
            await cluster.one(command(), 2)
        await cluster.node(leader).take_snapshot()
        members = await change(cluster, {"n1", "n2", "n4"})
        assert members.voters == {"n1", "n2", "n4"}
        await cluster.one(command(), 3)
        assert cluster.node("n4").members().voters == {"n1", "n2", "n4"}
        cluster.crash("n4")
        await cluster.start("n4")
        assert cluster.node("n4").members().voters == {"n1", "n2", "n4"}
        cluster.crash("n1")
        await cluster.one(command(), 2)


# --- one at a time, and once --------------------------------------------------------------------------------------


async def test_a_second_change_is_refused_by_name_and_the_same_one_joins_in() -> None:
    async with open_log(1, 1, joiners=2) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        cluster.disconnect("n2")
        results: list[MembersStatus] = []
        async with trio.open_nursery() as nursery:

            async def add_n2() -> None:
                results.append(await node.change_members(newcomers("n1", "n2")))

            nursery.start_soon(add_n2)
            await until(cluster, lambda: node.members().phase is ChangePhase.CATCHING_UP)
            with pytest.raises(ChangeRefused, match="another change of members is under way"):
                await node.change_members(newcomers("n1", "n3"))
            nursery.start_soon(add_n2)
            await trio.sleep(0.1)
            cluster.connect("n2")
        assert [one.voters for one in results] == [{"n1", "n2"}] * 2
        assert results[0].config == results[1].config
        assert (await node.change_members({"n1", "n2"})).config == results[0].config


async def test_a_change_can_be_bound_to_the_members_that_it_was_decided_on() -> None:
    async with open_log(1, 1, joiners=2) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        seen = node.members().config
        assert seen == 0
        members = await node.change_members(learners=newcomers("n2"), if_config=seen)
        with pytest.raises(ChangeRefused, match=f"the one at index {members.config}, not 0"):
            await node.change_members(learners=newcomers("n2", "n3"), if_config=seen)
        # A retry of what was done already is no conflict.
        assert await node.change_members(learners={"n2"}, if_config=seen) == node.members()


MANY = {f"n{number}": Member(f"n{number}.test:1", {"key": "x" * 4_000}) for number in range(1, 20)}


@pytest.mark.parametrize(
    ("voters", "learners", "why"),
    [
        ({"n1", "n9"}, None, "'n9' is new: give its address"),
        (set(), None, "nobody would vote"),
        ({"n1"}, {"n1"}, "'n1' can't be voter and learner at once"),
        (MANY, None, "of 65,536: shorten the metadata"),
    ],
)
async def test_what_can_not_be_made_is_refused_and_changes_nothing(
    voters: Collection[str], learners: Collection[str] | None, why: str
) -> None:
    async with open_log(1, 1) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        with pytest.raises(ChangeRefused, match=why):
            await node.change_members(voters, learners)
        assert node.members().config == 0


async def test_only_the_leader_changes_members() -> None:
    async with open_log(2, 1) as cluster:
        leader = await cluster.wait_for_one_leader()
        other = "n1" if leader == "n2" else "n2"
        with pytest.raises(NotLeader):
            await cluster.node(other).change_members({leader})


# --- giving up ----------------------------------------------------------------------------------------------------


async def test_a_change_that_waits_for_a_newcomer_can_be_cancelled() -> None:
    async with open_log(1, 1, joiners=1) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        with pytest.raises(ChangeRefused, match="no change of members is under way"):
            await node.cancel_change()
        cluster.disconnect("n2")
        async with trio.open_nursery() as nursery:

            async def add_n2() -> None:
                with pytest.raises(ChangeFailed, match="was cancelled"):
                    await node.change_members(newcomers("n1", "n2"))

            nursery.start_soon(add_n2)
            await until(cluster, lambda: node.members().phase is ChangePhase.CATCHING_UP)
            members = await node.cancel_change()
            assert (sorted(members.voters), sorted(members.learners)) == (["n1"], [])
        await cluster.one(b"x", 1)


@seeds(5)
async def test_a_joint_configuration_goes_back_to_the_old_voters_alone(seed: int) -> None:
    async with open_log(3, seed, joiners=3) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        async with trio.open_nursery() as nursery:

            async def replace_all() -> None:
                with pytest.raises(ChangeFailed):
                    await node.change_members(newcomers("n4", "n5", "n6"))

            nursery.start_soon(replace_all)
            await until(cluster, lambda: joint_at(cluster, leader))
            cluster.disconnect("n4", "n5", "n6")
            members = await node.cancel_change()
            assert members.voters == {"n1", "n2", "n3"}
        await cluster.one(b"x", 3, retry=False)
