"""A made-up trace that looks like one of a simulated cluster, with every kind of event for the diagram to show.

Nothing here is Raft. A leader is drawn now and then, sends appends to everybody and is answered; faults come and go.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import attrs

Event = dict[str, Any]
HEARTBEAT_S = 0.05


@attrs.define
class Node:
    """What the made-up node believes."""

    name: str
    term: int = 0
    role: str = "follower"
    last: int = 0
    commit: int = 0
    life: int = 1
    up: bool = True
    paused: bool = False
    group: int = 0


@attrs.define
class Maker:
    """Makes up events, out of order; `finished` sorts and numbers them."""

    rng: random.Random
    nodes: list[Node]
    events: list[Event] = attrs.field(factory=list[Event])
    messages: int = 0
    operations: int = 0

    def add(self, t: float, kind: str, node: str | None = None, **fields: object) -> None:
        event: Event = {"t": round(t, 6), "n": 0, "kind": kind}
        if node is not None:
            event["node"] = node
        self.events.append(event | fields)

    def finished(self) -> list[Event]:
        self.events.sort(key=lambda event: event["t"])
        for number, event in enumerate(self.events):
            event["n"] = number
        return self.events

    def message(self, t: float, sender: Node, to: Node, kind: str, text: str) -> float | None:
        """When it arrives; None where it is lost."""
        self.messages += 1
        number = self.messages
        self.add(t, "send", sender.name, id=number, to=to.name, type=kind, text=text)
        arrival = t + self.rng.uniform(0.001, 0.004) + (self.rng.expovariate(100) if self.rng.random() < 0.1 else 0)
        if sender.group != to.group:
            self.add(t, "lose", id=number, why="cut")
        elif self.rng.random() < 0.01:
            self.add(t, "lose", id=number, why="drop")
        elif not to.up:
            self.add(arrival, "lose", id=number, why="down")
        else:
            self.add(arrival, "receive", to.name, id=number, sender=sender.name, type=kind)
            if self.rng.random() < 0.01:
                self.add(arrival + 0.006, "receive", to.name, id=number, sender=sender.name, type=kind)
            return arrival
        return None

    def election(self, t: float, candidate: Node) -> float:
        """When it is over."""
        candidate.term = max(node.term for node in self.nodes) + 1
        candidate.role = "candidate"
        self.add(t, "role", candidate.name, role="candidate", term=candidate.term)
        self.add(
            t + 0.002,
            "durable",
            candidate.name,
            term=candidate.term,
            voted_for=candidate.name,
            last_index=candidate.last,
        )
        end = t + 0.004
        for other in self.others(candidate):
            text = f"RequestVote(term={candidate.term}, last_log_index={candidate.last})"
            arrival = self.message(t + 0.002, candidate, other, "RequestVote", text)
            if arrival is None:
                continue
            if other.role != "follower" or other.term < candidate.term:
                self.add(arrival, "role", other.name, role="follower", term=candidate.term)
            other.role, other.term = "follower", candidate.term
            self.add(
                arrival + 0.002, "durable", other.name, term=other.term, voted_for=candidate.name, last_index=other.last
            )
            text = f"RequestVoteReply(term={candidate.term}, granted=True)"
            back = self.message(arrival + 0.002, other, candidate, "RequestVoteReply", text)
            end = max(end, back or 0)
        candidate.role = "leader"
        self.add(end, "role", candidate.name, role="leader", term=candidate.term)
        return end

    def append(self, t: float, leader: Node, count: int) -> float | None:
        """Replicate entries (a heartbeat where none); when they are committed."""
        first, leader.last = leader.last + 1, leader.last + count
        if count:
            self.add(t, "append", leader.name, first_index=first, last_index=leader.last, term=leader.term)
            self.add(t + 0.003, "durable", leader.name, term=leader.term, voted_for=leader.name, last_index=leader.last)
        acknowledged: list[float] = [t + 0.003]
        for other in self.others(leader):
            text = f"AppendEntries(term={leader.term}, prev={first - 1}, entries={count}, commit={leader.commit})"
            arrival = self.message(t, leader, other, "AppendEntries", text)
            if arrival is None:
                continue
            if other.last + 1 < first and self.rng.random() < 0.3:
                text = f"AppendEntriesRejected(term={leader.term}, conflict_index={other.last + 1})"
                self.message(arrival, other, leader, "AppendEntriesRejected", text)
            if other.last < leader.last:
                self.add(
                    arrival, "append", other.name, first_index=other.last + 1, last_index=leader.last, term=leader.term
                )
                other.last = leader.last
            if count:
                arrival += 0.002
                self.add(arrival, "durable", other.name, term=other.term, voted_for=leader.name, last_index=other.last)
            if other.commit < leader.commit:
                self.apply(arrival, other, leader.commit)
            text = f"AppendEntriesAccepted(term={leader.term}, match_index={other.last})"
            back = self.message(arrival, other, leader, "AppendEntriesAccepted", text)
            if back is not None:
                acknowledged.append(back)
        acknowledged.sort()
        quorum = len(self.nodes) // 2 + 1
        if len(acknowledged) < quorum:
            return None
        done = acknowledged[quorum - 1]
        if count:
            self.apply(done, leader, leader.last)
        return done

    def apply(self, t: float, node: Node, index: int) -> None:
        self.add(t, "commit", node.name, index=index)
        self.add(t + 0.0003, "apply", node.name, first_index=node.commit + 1, last_index=index)
        node.commit = index

    def others(self, one: Node) -> list[Node]:
        return [node for node in self.nodes if node is not one]

    def restart(self, node: Node, t: float) -> None:
        node.up, node.role, node.life = True, "follower", node.life + 1
        self.add(t, "start", node.name, life=node.life, term=node.term, last_index=node.last, snapshot_index=0)
        self.add(t, "role", node.name, role="follower", term=node.term)


def make_trace(
    seed: int = 7, *, nodes: int = 5, seconds: float = 8.0, calls_per_second: float = 20, broken: bool = True
) -> list[Event]:
    """Events of every kind; the last one tells of a broken invariant, unless told otherwise."""
    maker = Maker(random.Random(seed), [Node(f"n{number}") for number in range(1, nodes + 1)])
    for node in maker.nodes:
        maker.add(0, "start", node.name, life=1, term=0, last_index=0, snapshot_index=0)
        maker.add(0, "role", node.name, role="follower", term=0)
    t, leader, next_trouble = 0.3, maker.nodes[0], 1.2
    t = maker.election(t, leader)
    while t < seconds:
        if t > next_trouble:
            next_trouble = t + maker.rng.uniform(0.6, 1.5)
            leader, t = _trouble(maker, leader, t)
        called = maker.rng.random() < calls_per_second * HEARTBEAT_S
        committed = maker.append(t, leader, maker.rng.randint(1, 3) if called else 0)
        if called:
            _call(maker, leader, t - 0.002, committed)
        t += HEARTBEAT_S
    if broken:
        text = "n2 and n4 both applied index 17, with different commands </script><b>not bold</b>"
        maker.add(t, "broken", "n2", invariant="state-machine safety", text=text)
    return maker.finished()


def _call(maker: Maker, leader: Node, t: float, committed: float | None) -> None:
    maker.operations += 1
    number, client = maker.operations, f"client-{maker.rng.randint(1, 3)}"
    maker.add(t, "call", operation=number, client=client, text=f"put key-{number % 7} = {number}")
    if committed is None:
        maker.add(t + 1.0, "return", operation=number, outcome="unknown", text="timed out")
    elif maker.rng.random() < 0.05:
        maker.add(committed, "return", operation=number, outcome="error", text=f"NotLeader(leader={leader.name!r})")
    elif maker.rng.random() < 0.995:
        maker.add(committed + 0.002, "return", operation=number, outcome="ok", text="None")


def _trouble(maker: Maker, leader: Node, t: float) -> tuple[Node, float]:
    """One fault, drawn; the leader from then on, and the time."""
    rng = maker.rng
    victim = rng.choice(maker.others(leader))
    what = rng.choice(["crash", "pause", "partition", "snapshot", "slow disk", "depose"])
    length = rng.uniform(0.3, 0.9)
    if what == "crash" and victim.up:
        why = rng.choice(["crash", "power", "error"])
        extra = {"error": "StorageFailed: disk full"} if why == "error" else {}
        maker.add(t, "crash", victim.name, why=why, **extra)
        if rng.random() < 0.5:
            maker.add(t + length / 2, "truncate", victim.name, from_index=max(1, victim.last - 1))
        maker.restart(victim, t + length)
    elif what == "pause":
        maker.add(t, "pause", victim.name)
        maker.add(t + length, "resume", victim.name)
    elif what == "partition":
        return _partition(maker, leader, t)
    elif what == "snapshot":
        maker.add(t, "snapshot", leader.name, index=leader.commit, term=leader.term, how="taken")
        text = f"InstallSnapshot(term={leader.term}, index={leader.commit}, sequence=0)"
        arrival = maker.message(t, leader, victim, "InstallSnapshot", text)
        if arrival is not None:
            maker.add(arrival, "snapshot", victim.name, index=leader.commit, term=leader.term, how="installed")
    elif what == "slow disk":
        maker.add(t, "fault", what=what, text=f"writes of {victim.name} take 40 ms", nodes=[victim.name])
        maker.add(t + length, "heal", text=f"the disk of {victim.name} is quick again", what=what)
    else:
        return victim, maker.election(t, victim)
    return leader, t


def _partition(maker: Maker, leader: Node, t: float) -> tuple[Node, float]:
    """The leader and one other alone; the rest elect one of them, and after a while all meet again."""
    rest = maker.others(leader)
    few, many = [leader, rest[0]], rest[1:]
    text = " | ".join(" ".join(node.name for node in group) for group in (few, many))
    groups = [[node.name for node in group] for group in (few, many)]
    maker.add(t, "fault", what="partition", text=text, groups=groups)
    for node in many:
        node.group = 1
    for _ in range(8):
        committed = maker.append(t, leader, 0)
        _call(maker, leader, t, committed)
        t += HEARTBEAT_S
    t = maker.election(t, many[0])
    for _ in range(6):
        maker.append(t, many[0], 1)
        t += HEARTBEAT_S
    for node in many:
        node.group = 0
    maker.add(t, "heal", text="the partition is over", what="partition")
    return many[0], t + 0.001


def kinds_in(events: Iterable[Event]) -> set[str]:
    return {event["kind"] for event in events}
