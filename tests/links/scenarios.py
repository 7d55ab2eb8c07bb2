"""Which links break in each scenario, seen from whoever leads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations

import attrs

from tests.connectivity.graphs import Link

Breaks = Callable[[Sequence[str]], set[Link]]
"""The directions that break, of these nodes, the leader first."""


def _between(one: Iterable[str], other: Iterable[str]) -> set[Link]:
    """Both directions between each node of the one part and each of the other."""
    theirs = [*other]
    return {link for a in one for b in theirs for link in ((a, b), (b, a))}


def _to(node: str, nodes: Iterable[str]) -> set[Link]:
    return {(other, node) for other in nodes if other != node}


def _from(node: str, nodes: Iterable[str]) -> set[Link]:
    return {(node, other) for other in nodes if other != node}


def _all_but_a_ring(nodes: Sequence[str]) -> set[Link]:
    ring = set(zip(nodes, [*nodes[1:], nodes[0]], strict=True))
    return {(one, other) for one, other in permutations(nodes, 2) if not {(one, other), (other, one)} & ring}


@attrs.frozen
class Scenario:
    """Links that break and are mended.

    Attributes:
        breaks: which ones.
        sizes: of clusters in which that means something.
        times: how often.
        leads_on: whether the leader keeps two-way links to a majority, so that it must lead on, unnoticed by clients.
    """

    name: str
    breaks: Breaks
    sizes: tuple[int, ...] = (3, 5)
    times: int = 1
    leads_on: bool = True


ONE_LINK = Scenario("one link breaks, of the leader to a follower", lambda n: _between(n[:1], n[-1:]))
DEAF_TO_LEADER = Scenario("a follower does not hear the leader", lambda n: {(n[0], n[-1])})
UNHEARD_BY_LEADER = Scenario("the leader does not hear a follower", lambda n: {(n[-1], n[0])})
DEAF_FOLLOWER = Scenario("a follower hears nobody, and is heard", lambda n: _to(n[-1], n))
MUTE_FOLLOWER = Scenario("nobody hears a follower, which hears all", lambda n: _from(n[-1], n))
ALONE = Scenario("a follower is alone, and returns", lambda n: _between(n[:-1], n[-1:]))
FLAPPING_FOLLOWER = Scenario("a follower is alone, again and again", lambda n: _between(n[:-1], n[-1:]), times=6)
RING = Scenario("a ring is left", _all_but_a_ring, (5,))
BRIDGE = Scenario("one node links two halves; the leader is in one", lambda n: _between(n[:2], n[3:]), (5,))
LEADING_BRIDGE = Scenario("one node links two halves; it leads", lambda n: _between(n[1:3], n[3:]), (5,))
FLAPPING_LEADER = Scenario(
    "the leader is alone, again and again", lambda n: _between(n[:1], n[1:]), times=6, leads_on=False
)
DEAF_LEADER = Scenario("the leader hears nobody, and is heard", lambda n: _to(n[0], n), leads_on=False)
MUTE_LEADER = Scenario("nobody hears the leader, which hears all", lambda n: _from(n[0], n), leads_on=False)

SCENARIOS = (
    Scenario("nothing breaks", lambda _: set()),
    *(ONE_LINK, DEAF_TO_LEADER, UNHEARD_BY_LEADER, DEAF_FOLLOWER, MUTE_FOLLOWER, ALONE, FLAPPING_FOLLOWER),
    *(RING, BRIDGE, LEADING_BRIDGE),
    *(FLAPPING_LEADER, DEAF_LEADER, MUTE_LEADER),
)
