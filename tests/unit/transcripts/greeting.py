"""How two nodes greet each other, for transcripts.

greet n1 3-5 colour with n2 3-4 identity; and of either: of n1,n2,n3 (the voters that its cluster began with), store aa
(its own), knowing n1:bb (which store a member has, as its configuration says), using colour (features of its cluster).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from raft_actors.node.acquaintances import Acquaintances
from raft_actors.raft.membership import Configuration, Member
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.wire.handshake import Answer, Hello, ProtocolRange, judge
from tests.unit.builders import make_state, stored


@attrs.frozen
class _Side:
    """What the words say of one of the two."""

    name: str
    protocol: ProtocolRange
    voters: tuple[str, ...] = ()
    store: str = ""
    knowing: dict[str, str] = attrs.field(factory=dict[str, str])
    using: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Sequence[str]) -> _Side:
        name, versions, *rest = words
        said: dict[str, list[str]] = {"can": [], "of": [], "store": [], "knowing": [], "using": []}
        about = said["can"]
        for word in rest:
            if word in said:
                about = said[word]
            else:
                about.append(word)
        oldest, _, newest = versions.partition("-")
        return cls(
            name,
            ProtocolRange(int(oldest), int(newest or oldest), frozenset(said["can"])),
            tuple(",".join(said["of"]).split(",")) if said["of"] else (),
            "".join(said["store"]),
            dict(pair.split(":") for pair in said["knowing"]),
            frozenset(said["using"]),
        )

    def endpoint(self, peer: str) -> Endpoint:
        acquaintances = Acquaintances(self.name, fail=lambda _error: None)
        members = {one: Member(incarnation=store) for one, store in self.knowing.items()}
        configuration = Configuration({"n1", *members}, members=members, features=self.using)
        state = make_state([1], features=self.using, stored_configurations=(stored(1, configuration),))
        state.incarnation = self.store
        acquaintances.recovered(state)
        return Endpoint(
            "orders",
            self.name,
            {peer: ""},
            lambda _sender, _message: True,
            1000,
            initial_voters=self.voters,
            incarnation=self.store,
            admit=acquaintances.admit,
        )


def greet(words: Sequence[str]) -> list[str]:
    """Return what is said, as both sides read it, and what comes of it."""
    between = words.index("with")
    caller, called = _Side.of(words[:between]), _Side.of(words[between + 1 :])
    hello = Hello.decode(Hello.of(caller.endpoint(called.name), called.name, caller.protocol).encode())
    answer = judge(hello, called.endpoint(caller.name), called.protocol)
    heard = Answer.decode(answer.encode(hello.protocol))
    lines = [
        f"{caller.name} calls: {_range(hello.protocol)}",
        f"{called.name} answers {heard.verdict.name}: {_range(heard.protocol)}",
    ]
    if heard.detail:
        lines.append(f"    because {heard.detail}")
    agreement = caller.protocol.agree(heard.protocol)
    if heard.verdict.name == "ACCEPTED" and agreement is not None:
        lines.append(f"both speak version {agreement.version}, with {_names(agreement.features)}")
    return lines


def _range(protocol: ProtocolRange) -> str:
    return f"{protocol}, {_names(protocol.features)}"


def _names(features: frozenset[str]) -> str:
    return " ".join(sorted(features)) or "no features"
