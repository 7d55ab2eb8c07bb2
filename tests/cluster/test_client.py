"""Clients that are no members, in a simulated cluster: each command once, through whatever happens to nodes."""

from __future__ import annotations

import contextlib
import itertools

import trio

from raft_actors import Linearizable, Local, NotLeader, ReadYourWrites, TransferError
from raft_actors.testing.cluster import UNRELIABLE
from tests.cluster.client_support import At, Client, Count, client_of, open_readable
from tests.cluster.support import seeds


async def test_a_client_proposes_and_reads_with_one_address_of_any_node() -> None:
    async with open_readable(1) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with client_of(cluster) as client:
            assert await client.wait_ready() == leader
            assert await client.propose(b"a") == 1
            assert await client.propose_many([b"b", b"c"]) == [2, 3]
            assert await client.read(Count()) == 3
            assert await client.read(At(0), Local()) == b"a"
            result = await client.read_result(Count(), Linearizable())
            assert result.value == 3
            assert await client.read(Count(), ReadYourWrites(client.read_token())) == 3
            assert client.status().connected == ("n1", "n2", "n3")


async def test_a_client_notices_that_all_are_gone_who_said_last_that_nobody_leads() -> None:
    """Its connections end without a word, as with machines that lose their power, and its request is sent to nobody."""
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        async with client_of(cluster) as client, trio.open_nursery() as nursery:
            assert await client.propose(b"a") == 1
            cluster.partition(*({name} for name in cluster.node_ids))
            await trio.sleep(5.0)
            assert client.status().leader is None
            assert client.status().connected == ("n1", "n2", "n3")
            nursery.start_soon(client.propose, b"b")
            await trio.sleep(0.01)
            for name in cluster.node_ids:
                cluster.crash(name)
            cluster.heal()
            for name in cluster.node_ids:
                await cluster.start(name)
            with trio.fail_after(10.0):
                assert await client.propose(b"c") == 3


@seeds(2)
async def test_every_command_of_a_client_takes_effect_once_whatever_happens(seed: int) -> None:
    """Leaders and others lose their power, are cut off from all or from some, and hand over, under eight proposers and
    four readers of one client: no call fails, and each command is there once, where its result says.
    """
    async with open_readable(seed) as cluster:
        await cluster.wait_for_one_leader()
        cluster.network.set_faults(UNRELIABLE)
        rng, results, over = cluster.rng, dict[bytes, object](), trio.Event()

        async def propose(client: Client, number: int) -> None:
            for count in itertools.count():
                if over.is_set():
                    break
                commands = [b"%d %d %d" % (number, count, place) for place in range(3)]
                if count % 2:
                    results.update(zip(commands, await client.propose_many(commands), strict=True))
                else:
                    results[commands[0]] = await client.propose(commands[0])
                await trio.sleep(rng.uniform(0.0, 0.05))

        async def read(client: Client) -> None:
            while not over.is_set():
                known = len(results)
                assert await client.read(Count()) >= known
                await trio.sleep(rng.uniform(0.0, 0.05))

        async with client_of(cluster, name="client") as client, trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(propose, client, number)
            for _ in range(4):
                nursery.start_soon(read, client)
            for _ in range(8):
                await trio.sleep(rng.uniform(0.2, 1.0))
                victim = rng.choice([cluster.leader(), *cluster.nodes]) or "n1"
                fault = rng.choice(
                    ["crash", "cut off from nodes", "cut off from all", "cut off from the client", "hand over"]
                )
                if fault == "crash":
                    cluster.crash(victim)
                    await trio.sleep(rng.uniform(0.1, 1.5))
                    await cluster.start(victim)
                elif fault == "cut off from nodes":
                    cluster.partition({victim}, {*cluster.node_ids} - {victim})
                elif fault == "cut off from all":
                    cluster.disconnect(victim)
                elif fault == "cut off from the client":
                    cluster.network.cut(victim, "client")
                else:
                    with contextlib.suppress(TransferError, NotLeader):
                        await cluster.node(victim).transfer_leadership()
                await trio.sleep(rng.uniform(0.1, 1.5))
                cluster.heal()
            over.set()
        cluster.reliable()
        await cluster.one(b"last", 3)
        applied = [entry.command for entry in cluster.facts.history][:-1]
        assert sorted(applied) == sorted(results)
        assert results == {command: place for place, command in enumerate(applied, 1)}
        assert len(results) > 100
