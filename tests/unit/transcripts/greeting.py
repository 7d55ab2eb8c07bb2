"""How two nodes greet each other, for transcripts: greet n1 3-5 colour with n2 3-4 [using colour] [knowing n1]"""

from __future__ import annotations

from collections.abc import Sequence

from raft_actors.node.acquaintances import Acquaintances
from raft_actors.raft.membership import Configuration
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.wire.handshake import Answer, Hello, ProtocolRange, judge
from tests.unit.builders import make_state, stored


def greet(words: Sequence[str]) -> list[str]:
    """Return what is said, as both sides read it, and what comes of it."""
    between = words.index("with")
    caller, callers = _side(words[:between])
    called, calleds = _side(words[between + 1 :])
    hello = Hello.decode(Hello.of(_endpoint(caller, called, callers, frozenset()), called, callers).encode())
    using = frozenset(words[words.index("using") + 1 :]) if "using" in words else frozenset()
    answer = judge(hello, _endpoint(called, caller, calleds, using), calleds)
    heard = Answer.decode(answer.encode(hello.protocol))
    lines = [
        f"{caller} calls: {_range(hello.protocol)}",
        f"{called} answers {heard.verdict.name}: {_range(heard.protocol)}",
    ]
    if heard.detail:
        lines.append(f"    because {heard.detail}")
    agreement = callers.agree(heard.protocol)
    if heard.verdict.name == "ACCEPTED" and agreement is not None:
        lines.append(f"both speak version {agreement.version}, with {_names(agreement.features)}")
    return lines


def _side(words: Sequence[str]) -> tuple[str, ProtocolRange]:
    name, versions, *features = words[: words.index("using")] if "using" in words else words
    oldest, _, newest = versions.partition("-")
    return name, ProtocolRange(int(oldest), int(newest or oldest), frozenset(features))


def _endpoint(me: str, peer: str, protocol: ProtocolRange, using: frozenset[str]) -> Endpoint:
    acquaintances = Acquaintances(me, fail=lambda _error: None)
    configuration = stored(1, Configuration({"n1"}, features=using))
    acquaintances.recovered(make_state([1], features=using, stored_configurations=(configuration,)))
    return Endpoint("orders", me, {peer: ""}, lambda _sender, _message: True, 1000, admit=acquaintances.admit)


def _range(protocol: ProtocolRange) -> str:
    return f"{protocol}, {_names(protocol.features)}"


def _names(features: frozenset[str]) -> str:
    return " ".join(sorted(features)) or "no features"
