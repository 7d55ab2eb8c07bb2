"""Plays a transcript: a text of steps, each with what came of it. See README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from random import Random

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import FeatureMissing
from raft_actors.node.admission import Admission
from raft_actors.node.handoff import PendingTransfer
from raft_actors.node.members import PendingChange
from raft_actors.node.proposals import LocalProposals
from raft_actors.raft.effects import (
    AnnounceCommit,
    Become,
    ChangeBegun,
    Effect,
    EndScopes,
    Refuse,
    Transferred,
)
from raft_actors.raft.features import FEATURES, IDENTITY
from raft_actors.raft.inputs import (
    ChangeRequested,
    PeerDisconnected,
    Received,
    Requested,
    TimerFired,
    TransferRequested,
)
from raft_actors.raft.membership import Member, Proven
from raft_actors.raft.messages import Message
from raft_actors.raft.roles import Leader
from tests.unit.model.checks import Checks
from tests.unit.model.disk import Disk
from tests.unit.model.node import Node
from tests.unit.transcripts.greeting import greet
from tests.unit.transcripts.words import News, said, set_of, summary

CONFIG = NodeConfig(
    election_timeout_s=(0.5, 1.0), heartbeat_interval_s=0.1, trailing_entries=0, max_catch_up_bytes=1, seed=1
)
_MOST_ROUNDS = 200


class Unclear(Exception):
    """A step that nobody can take."""


class Spoken(Node):
    """A node of the model whose decisions are written down."""

    tell: Callable[[str], None]

    def perform(self, effects: list[Effect]) -> bool:
        for effect in effects:
            match effect:
                case Become(role):
                    self.tell(f"{self.node_id} becomes {role}")
                case Refuse(_, error):
                    self.tell(f"{self.node_id} refuses: {error}")
                case Transferred(_, leader):
                    self.tell(f"{self.node_id} has handed over to {leader}")
                case ChangeBegun(_, index):
                    self.tell(f"{self.node_id} has begun the change at {index}")
                case EndScopes(why):
                    self.tell(f"{self.node_id} ends what goes on while it leads: {why}")
                case AnnounceCommit():
                    for replicator, _ in self.replicators.values():
                        replicator.announce_commit()
                case _:
                    pass
            if super().perform([effect]):
                return True
        return False


class Player:
    """A cluster of the model, and the lines that were written about it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.nodes: dict[str, Spoken] = {}
        self.down: set[str] = set()
        self.hung: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.can: dict[str, frozenset[str]] = {}
        self.proven: dict[str, Proven] = {}
        self.now = 0.0
        self._network: list[tuple[str, str, Message]] = []
        self._disks: dict[str, Disk] = {}
        self._checks = Checks(self._disks)
        self._news = News()
        self._seen: dict[str, str] = {}

    # --- the script ----------------------------------------------------------------------------------------------

    def play(self, script: str) -> str:
        """Return the script with what comes of each step now."""
        out: list[str] = []
        for line in script.splitlines():
            if line.startswith("> "):
                self.lines = []
                self._take(line[2:].split())
                out += [line, *(f"    {said}" for said in self.lines)]
            elif not line.startswith("    "):
                out.append(line)
        return "\n".join(out) + "\n"

    def _take(self, words: list[str]) -> None:
        step, *arguments = words
        method = getattr(self, f"do_{step.replace('-', '_')}", None)
        if method is None:
            raise Unclear(f"no step {step!r}")
        method(*arguments)
        for node_id in self._alive():
            text = summary(self.nodes[node_id])
            if self._seen.get(node_id) != text:
                self._seen[node_id] = text
                self.lines.append(text)

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def _alive(self) -> list[str]:
        return [node_id for node_id in self.nodes if node_id not in self.down]

    # --- steps ---------------------------------------------------------------------------------------------------

    def do_voters(self, *node_ids: str) -> None:
        """A cluster begins with these."""
        self._make(node_ids, node_ids)

    def do_led(self, *node_ids: str) -> None:
        """A cluster of these that the first one leads already."""
        self.do_voters(*node_ids)
        self.do_timeout(node_ids[0])
        self.lines.clear()

    def do_spare(self, *node_ids: str) -> None:
        """Nodes that are no members yet."""
        self._make(node_ids, list(self.nodes))

    def _make(self, node_ids: Iterable[str], voters: Iterable[str]) -> None:
        cluster = ClusterConfig("transcript", dict.fromkeys(voters, "nowhere"))
        for node_id in node_ids:
            self._disks[node_id] = Disk()
            node = Spoken.__new__(Spoken)
            node.tell = self.tell
            self.nodes[node_id] = node
            node.__init__(  # type: ignore[misc]  # it may say something while it starts
                node_id,
                cluster=cluster,
                config=CONFIG,
                rng=Random(node_id),
                disk=self._disks[node_id],
                checks=self._checks,
                send=self._send,
                features_of=self._features_of(node_id),
                proven=lambda member: self.proven.get(member, Proven()),
            )
            node.clock = self.now

    def _features_of(self, node_id: str) -> Callable[[str], frozenset[str]]:
        def features_of(peer: str) -> frozenset[str]:
            can = self.can.get(peer or node_id, FEATURES) & self.can.get(node_id, FEATURES)
            return can if self.proven.get(peer) else can - {IDENTITY}  # who says no store, is of a version before

        return features_of

    def do_timeout(self, node_id: str) -> None:
        """The node's timer goes off now; then everybody acts until all is quiet."""
        node = self.nodes[node_id]
        self.now = max(self.now, node.role.deadline)
        for other in self.nodes.values():
            other.clock = self.now
        node.step(TimerFired())
        self._settle()

    def do_wait(self, seconds: str) -> None:
        """Time passes; timers go off when they are due."""
        ends_at = self.now + float(seconds)
        while True:
            due = min((self.nodes[node_id].role.deadline for node_id in self._alive()), default=ends_at)
            self.now = max(self.now, min(due, ends_at))
            for node in self.nodes.values():
                node.clock = self.now
            if due > ends_at:
                return
            for node_id in self._alive():
                if self.nodes[node_id].role.deadline <= self.now:
                    self.nodes[node_id].step(TimerFired())
            self._settle()

    def do_propose(self, node_id: str, *commands: str) -> None:
        """An application proposes here."""
        encoded = [command.encode() for command in commands]
        admission = Admission(node_id, max_bytes=10**6, max_count=10**6)
        self.nodes[node_id].step(Requested([LocalProposals(admission, encoded, 100)]))
        self._settle()

    def do_transfer(self, node_id: str, to: str = "") -> None:
        """An operator asks this node to hand leadership over."""
        self.nodes[node_id].step(TransferRequested(PendingTransfer(to or None)))
        self._settle()

    def do_change(self, node_id: str, *sets: str) -> None:
        """An operator asks for other members: voters=n1,n2 learners=n3 priority=n1:5 address=n3@there."""
        given = dict(part.split("=") for part in sets)
        known = self.nodes[node_id].state.configuration.members
        priorities = dict(pair.split(":") for pair in given.get("priority", "").split(",") if pair)

        def members(names: str) -> dict[str, str | Member]:
            ids = [name for name in names.split(",") if name]
            return {one: known.get(one) or Member(f"{one}:1") for one in ids}

        voters = members(given["voters"]) if "voters" in given else None
        learners = members(given["learners"]) if "learners" in given else None
        addresses = dict(pair.split("@") for pair in given.get("address", "").split(",") if pair)
        request = PendingChange(voters, learners, if_config=None, promote=True, addresses=addresses)
        if priorities:
            request.members |= {
                one: Member(known[one].address, priority=int(number)) for one, number in priorities.items()
            }
        self.nodes[node_id].step(ChangeRequested(request))
        self._settle()

    def do_cancel(self, node_id: str) -> None:
        """An operator gives the change of members up."""
        self.nodes[node_id].step(ChangeRequested(PendingChange(None, None, if_config=None, promote=True, cancels=True)))
        self._settle()

    def do_cut(self, *links: str) -> None:
        """Links are lost: n1-n2 both ways, n1>n2 one way, n3 all that it has."""
        for link in links:
            self.cut |= set(self._links(link))

    def do_heal(self, *links: str) -> None:
        """They are back; all, where none is named."""
        for link in links:
            self.cut -= set(self._links(link))
        self.cut &= self.cut if links else set()
        self._news.healed()

    def _links(self, link: str) -> Iterator[tuple[str, str]]:
        if ">" in link:
            one, other = link.split(">")
            yield one, other
        elif "-" in link:
            one, other = link.split("-")
            yield from ((one, other), (other, one))
        else:
            for other in self.nodes:
                yield from ((link, other), (other, link))

    def do_hang(self, node_id: str) -> None:
        """The node's disk answers no more."""
        self.hung.add(node_id)

    def do_write(self, node_id: str) -> None:
        """A disk that hangs does one write, and hangs on."""
        self.nodes[node_id].write(1)
        self._settle()

    def do_mend(self, node_id: str) -> None:
        """It does again."""
        self.hung.discard(node_id)
        self._settle()

    def do_kill(self, node_id: str) -> None:
        """The process ends; connections with it break."""
        self.down.add(node_id)
        self._seen.pop(node_id, None)
        for other in self._alive():
            self.nodes[other].step(PeerDisconnected(node_id))
        self._settle()

    def do_vanish(self, node_id: str) -> None:
        """The machine is gone without a word."""
        self.down.add(node_id)
        self._seen.pop(node_id, None)

    def do_start(self, node_id: str) -> None:
        """It starts on what its disk has."""
        self.down.discard(node_id)
        self.hung.discard(node_id)
        self._news.forget(node_id)
        node = self.nodes[node_id]
        node.clock = self.now
        try:
            node.start()
        except FeatureMissing as error:
            self.tell(f"{node_id} does not start: {error}")
            self.down.add(node_id)
            return
        self._settle()

    def do_has(self, node_id: str, store: str, address: str = "nowhere") -> None:
        """The node has this store, and is reached here, as far as others can find out from now on."""
        self.proven[node_id] = Proven(store, address)
        self.nodes[node_id].incarnation = store
        self.nodes[node_id].state.incarnation = store

    def do_snapshot(self, *node_ids: str) -> None:
        """Take snapshots."""
        for node_id in node_ids:
            self.nodes[node_id].take_snapshot()
        self._settle()

    def do_upgrade(self, node_id: str, *features: str) -> None:
        """The node ends, and starts as a version that can do these things, too: what leaders turn on unasked."""
        self._change_version(node_id, frozenset(features))

    def do_downgrade(self, node_id: str) -> None:
        """The node ends, and starts as the version that there was."""
        self._change_version(node_id, frozenset())

    def _change_version(self, node_id: str, more: frozenset[str]) -> None:
        if node_id not in self.down:
            self.do_kill(node_id)
        node = self.nodes[node_id]
        node.turned_on, node.features = more, FEATURES | more
        self.can[node_id] = node.features
        self.do_start(node_id)

    def do_greet(self, *words: str) -> None:
        """Two nodes greet each other. See `greeting`."""
        self.lines += greet(words)

    def do_every_change(self, most: str) -> None:
        """Every change of voters of 1 to so many nodes, but for their names."""
        numbers = range(1, int(most) + 1)
        for before, after in product(numbers, numbers):
            for staying in range(min(before, after) + 1):
                if before + after - staying > int(most):
                    continue
                old = [f"n{number}" for number in range(1, before + 1)]
                first = before - staying + 1
                new = [f"n{number}" for number in range(first, first + after)]
                self.lines.append(f"{set_of(old)} → {set_of(new)}: {way(old, new)}")

    # --- everybody acts ------------------------------------------------------------------------------------------

    def _send(self, sender: str, to: str, message: Message) -> bool:
        self._checks.sent(sender, to, message)
        lost = (sender, to) in self.cut or to in self.down
        if self._news.is_news(sender, to, message, lost=lost):
            self.tell(f"{sender} {'⇸' if lost else '→'} {to}  {said(message)}")
        if not lost:
            self._network.append((sender, to, message))
        return not lost

    def _settle(self) -> None:
        """Everybody does what can be done, and messages arrive, until nothing is left."""
        for _ in range(_MOST_ROUNDS):
            moved = False
            for node_id in self._alive():
                node = self.nodes[node_id]
                moved |= bool(node.inbox or (node.to_write and node_id not in self.hung))
                if node_id not in self.hung:
                    node.write(100)
                if node.inbox:
                    node.take_inbox(100)
                for peer in list(node.replicators):
                    if peer in node.replicators and node.replicators[peer][1]:
                        moved = True
                        node.run_replicator(peer)
                node.apply()
            under_way, self._network = self._network, []
            for sender, to, message in under_way:
                if to not in self.down:
                    moved = True
                    self.nodes[to].inbox.append(Received(sender, message))
            if not moved:
                return
        raise Unclear("it does not come to rest")


def way(old: list[str], new: list[str]) -> str:
    """Play one change of voters, and tell the configurations on its way, and who leads in the end."""
    player = Player()
    player.do_led(*old)
    spare = sorted({*new} - {*old})
    if spare:
        player.do_spare(*spare)
    player.do_change(old[0], f"voters={','.join(new)}")
    player.do_wait("3")
    leaders = [node_id for node_id, node in player.nodes.items() if isinstance(node.role, Leader)]
    steps = [line.partition(" → ")[2].partition("entries ")[2] for line in player.lines if " = " in line]
    seen = dict.fromkeys(part.strip() for step in steps for part in step.split(";") if " = " in part)
    told = "; ".join(part.partition(" = ")[2] for part in seen) or "nothing to do"
    return f"{told}. {', '.join(leaders)} leads"
