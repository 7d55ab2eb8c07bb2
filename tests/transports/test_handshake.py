from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.config import ClusterConfig
from raft_actors.errors import ConfigurationError, ProtocolError
from raft_actors.raft.features import FEATURES as ALL_FEATURES
from raft_actors.raft.newest import Newest
from raft_actors.raft.starts import Met, Start
from raft_actors.transports import Endpoint
from raft_actors.transports.greeting import Greeting, Refusal
from raft_actors.transports.wire.handshake import (
    BARE_ANSWER_BYTES,
    MAGIC,
    MAX_ANSWER_BYTES,
    MAX_DETAIL_BYTES,
    MAX_HELLO_BYTES,
    NEWEST_VERSION,
    Agreement,
    Answer,
    Hello,
    ProtocolRange,
    Verdict,
    judge,
)
from raft_actors.transports.wire.settings import voters_digest

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=255)
FEATURES = st.frozensets(st.from_regex(r"[a-z][a-z-]{0,20}", fullmatch=True), max_size=5)
RANGES = st.builds(
    lambda numbers, features: ProtocolRange(min(numbers), max(numbers), features),
    st.lists(st.integers(3, 2**16 - 1), min_size=2, max_size=2),
    FEATURES,
)
HELLO = Hello("orders", "a", "b")
ENDPOINT = Endpoint(
    "orders",
    "b",
    {"a": "", "c": ""},
    lambda _sender, _message: True,
    100,
    initial_voters=("a", "b", "c"),
    heartbeat_interval_s=0.2,
    election_timeout_s=0.4,
)
HELLO_2 = MAGIC + b"\0\2" + b"\0\6orders" + b"\0\1a" + b"\0\1b"
"""What a node of version 2 says, which had no fields."""
ANSWERS_2 = [MAGIC + b"\0\2" + bytes([verdict]) for verdict in range(6)]


def protocol(oldest: int, newest: int, *features: str) -> ProtocolRange:
    return ProtocolRange(oldest, newest, frozenset(features))


# --- what is said is what is heard ---------------------------------------------------------------------------


GREETINGS = st.tuples(
    st.text("0123456789abcdef", max_size=64), st.text(st.characters(codec="utf-8"), max_size=128), st.integers(0, 2**62)
)
TIMINGS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@given(IDS, IDS, IDS, RANGES, st.sets(IDS), TIMINGS, GREETINGS)
def test_a_hello_comes_back_as_it_was_and_fits(
    cluster_id: str,
    sender: str,
    receiver: str,
    spoken: ProtocolRange,
    voters: set[str],
    timing: tuple[int, int],
    greeting: tuple[str, str, int],
) -> None:
    hello = Hello(cluster_id, sender, receiver, spoken, voters_digest(voters), timing, *greeting)
    assert Hello.decode(hello.encode()) == hello
    assert len(hello.encode()) <= MAX_HELLO_BYTES


def test_the_longest_ids_fit_and_version_2_can_read_enough_of_them_to_refuse() -> None:
    longest = "\U0001f600" * 255
    data = Hello(longest, longest, longest).encode()
    assert Hello.decode(data).sender == longest
    assert len(data) <= 6 + 3 * (2 + 4 * 255) + 96  # what version 2 reads, and very little more


@given(st.sampled_from(Verdict), RANGES, RANGES, st.text(st.characters(codec="utf-8"), max_size=100))
def test_an_answer_comes_back_as_it_was(
    verdict: Verdict, spoken: ProtocolRange, caller: ProtocolRange, detail: str
) -> None:
    if verdict is not Verdict.OTHER_REASON:
        answer = Answer(verdict, spoken, detail, "cafe", 7)
        assert Answer.decode(answer.encode(caller)) == answer


def test_a_long_detail_is_cut() -> None:
    data = Answer(Verdict.UNKNOWN_NODE, detail="\U0001f600" * 200).encode(ProtocolRange())
    assert len(data) <= MAX_ANSWER_BYTES
    assert Answer.decode(data).detail.startswith("\U0001f600" * (MAX_DETAIL_BYTES // 4))


def test_a_hello_without_its_ids_or_broken_off_is_no_hello() -> None:
    data = HELLO.encode()
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            Hello.decode(data[:end])
    with pytest.raises(ProtocolError):
        Hello.decode(data + b"\0")


@pytest.mark.parametrize(("oldest", "newest"), [(0, 3), (4, 3), (3, 2**16)])
def test_a_range_that_is_none(oldest: int, newest: int) -> None:
    with pytest.raises(ConfigurationError, match="no range"):
        ProtocolRange(oldest, newest)


@pytest.mark.parametrize("oldest", [b"\0\0", b"\0\4", b"\3", b"\0\0\3"], ids=repr)
def test_a_hello_whose_range_is_none(oldest: bytes) -> None:
    field = b"\1" + len(oldest).to_bytes(2) + oldest
    with pytest.raises(ProtocolError):
        Hello.decode(HELLO.encode() + field)  # of two fields with one tag the last one counts


@given(st.binary(max_size=60))
def test_noise_is_no_hello_and_no_answer(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        Hello.decode(noise)
    with pytest.raises(ProtocolError):
        Hello.decode(MAGIC + b"\0\3\xff" + noise)
    with pytest.raises(ProtocolError):
        Answer.decode(noise)
    with pytest.raises(ProtocolError):
        Hello.decode(MAGIC + b"\0\0" + noise)


@pytest.mark.parametrize("data", [Answer(Verdict.ACCEPTED).encode(ProtocolRange())[:end] for end in (6, 8, 11)])
def test_an_answer_that_breaks_off_is_none(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Answer.decode(data)


def test_ids_must_be_text() -> None:
    with pytest.raises(ProtocolError, match="utf-8"):
        Hello.decode(HELLO.encode().replace(b"orders", b"\xff" * 6))


@pytest.mark.parametrize(
    "hello", [attrs.evolve(HELLO, incarnation="x" * 65), attrs.evolve(HELLO, address="x" * 513)], ids=["store", "place"]
)
def test_what_a_node_says_of_itself_is_short(hello: Hello) -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        Hello.decode(hello.encode())


def test_each_side_says_at_which_start_it_is_and_at_which_it_has_met_the_other() -> None:
    asked: list[Greeting] = []
    start, other = Start(3, "00000000000000aa"), Start(2**63, "ffffffffffffffff")
    met = {"b": Met("bbbb", other), "a": Met("a" * 64, other)}
    caller = attrs.evolve(ENDPOINT, node_id="a", peers={"b": ""}, incarnation="aaaa", start=start, met=met.get)
    called = attrs.evolve(ENDPOINT, admit=asked.append, incarnation="bbbb", start=other, met=met.get)
    hello = Hello.decode(Hello.of(caller, "b", ProtocolRange()).encode())
    assert (hello.start, hello.met) == (start, met["b"])
    answer = Answer.decode(judge(hello, called, ProtocolRange()).encode(hello.protocol))
    assert asked == [Greeting("a", "aaaa", features=ALL_FEATURES, start=start, met=met["b"])]
    greeting = Greeting("b", "bbbb", features=ALL_FEATURES, dialled="there:1", start=other, met=met["a"])
    assert answer.greeting("b", "there:1") == greeting
    refused = judge(attrs.evolve(hello, sender="d"), called, ProtocolRange())
    assert (refused.start, refused.met) == (None, None)  # strangers are told nothing
    assert Hello.decode(HELLO.encode()).met is None


@pytest.mark.parametrize(
    "field",
    [b"\x0f\0\x0f" + b"\1" * 15, b"\x0f\0\x10" + bytes(16), b"\x10\0\x08" + b"\1" * 8, b"\x10\0\x51" + b"\1" * 81],
    ids=["short", "number 0", "met short", "met long"],
)
def test_a_hello_with_a_start_that_is_none(field: bytes) -> None:
    with pytest.raises(ProtocolError):
        Hello.decode(HELLO.encode() + field)


def test_a_node_has_its_word_on_who_passes_all_else_and_on_nobody_else() -> None:
    asked: list[Greeting] = []

    def admit(greeting: Greeting) -> Refusal | None:
        asked.append(greeting)
        return Refusal("OTHER_INCARNATION", "put its files back")

    endpoint = attrs.evolve(ENDPOINT, admit=admit, incarnation="bbbb", configuration_index=lambda: 9)
    endpoint = attrs.evolve(endpoint, configuration_term=lambda: 4)
    hello = attrs.evolve(HELLO, incarnation="aaaa", address="there:1")
    answer = judge(hello, endpoint, ProtocolRange())
    assert answer == Answer(
        Verdict.OTHER_INCARNATION, ProtocolRange(), "put its files back", "bbbb", 9, configuration_term=4
    )
    assert judge(Hello("stock", "a", "b"), endpoint, ProtocolRange()).verdict is Verdict.OTHER_CLUSTER
    assert asked == [Greeting("a", "aaaa", "there:1", features=ALL_FEATURES)]


def test_each_side_says_of_which_term_the_newest_configuration_is_that_it_knows() -> None:
    knowing = attrs.evolve(ENDPOINT, configuration_index=lambda: 204, configuration_term=lambda: 2**63)
    hello = Hello.decode(Hello.of(attrs.evolve(knowing, node_id="a"), "b", ProtocolRange()).encode())
    answer = Answer.decode(judge(hello, knowing, ProtocolRange()).encode(hello.protocol))
    for said in (hello.greeting, answer.greeting("b", "there:1")):
        assert said.newest == Newest(204, 2**63)
    assert Hello.decode(HELLO.encode()).greeting.newest == Newest()  # an older version says none of it
    with pytest.raises(ProtocolError):
        Hello.decode(HELLO.encode() + b"\x11\0\x04" + bytes(4))


def test_a_set_of_voters_has_one_digest_and_no_other_set_has_it() -> None:
    assert voters_digest(["n1", "n2"]) == voters_digest(("n2", "n1"))
    digests = [voters_digest(ids) for ids in (["n1"], ["n1", "n2"], ["n1n2"], ["n", "1n2"], ["n1", "n2", "n3"])]
    assert len(set(digests)) == len(digests)
    assert voters_digest([]) == b""


def test_nodes_of_the_same_settings_keep_a_leader_however_they_are_rounded() -> None:
    for election in (0.0011, 0.0033, 0.3333, 0.12345, 7.77777):
        endpoint = attrs.evolve(ENDPOINT, election_timeout_s=election, heartbeat_interval_s=election / 2)
        hello = attrs.evolve(Hello.of(endpoint, "b", ProtocolRange()), sender="a")
        assert judge(hello, endpoint, ProtocolRange()).verdict is Verdict.ACCEPTED


# --- versions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "agreed"),
    [
        (protocol(3, 3), protocol(3, 3), Agreement(3)),
        (protocol(3, 5), protocol(4, 9), Agreement(5)),
        (protocol(3, 5), protocol(5, 5), Agreement(5)),
        (protocol(3, 9), protocol(4, 5), Agreement(5)),
        (protocol(3, 4), protocol(5, 6), None),
        (protocol(3, 3, "x", "y"), protocol(3, 4, "y", "z"), Agreement(3, frozenset({"y"}))),
    ],
    ids=str,
)
def test_two_nodes_speak_the_highest_version_and_the_features_that_both_know(
    one: ProtocolRange, other: ProtocolRange, agreed: Agreement | None
) -> None:
    assert one.agree(other) == other.agree(one) == agreed


def test_what_a_later_version_adds_is_skipped() -> None:
    later = ProtocolRange(3, 99, frozenset({"telepathy"}))
    hello, extra = Hello("orders", "a", "b", later), b"\xc8\0\5hello" + b"\xc9\0\0"
    assert Hello.decode(hello.encode() + extra) == hello
    answer = Answer(Verdict.ACCEPTED, later)
    assert Answer.decode(answer.encode(ProtocolRange()) + extra) == answer


def test_a_reason_that_only_a_later_version_knows_is_a_refusal_all_the_same() -> None:
    data = bytearray(Answer(Verdict.UNKNOWN_NODE, detail="the moon is full").encode(ProtocolRange()))
    data[6] = 77
    answer = Answer.decode(bytes(data))
    assert (answer.verdict, answer.detail) == (Verdict.OTHER_REASON, "number 77 the moon is full")


def test_a_node_of_version_2_that_calls_is_refused_in_words_that_it_reads() -> None:
    hello = Hello.decode(HELLO_2)
    assert hello.protocol == protocol(2, 2)
    answer = judge(hello, ENDPOINT, protocol(3, 4))
    assert answer.verdict is Verdict.OTHER_VERSION
    assert answer.detail == (
        "this node speaks versions 3 to 4 of the protocol, the other one version 2: upgrade the other one"
    )
    # That version closes the connection at a longer answer, and takes the number for the verdict.
    assert answer.encode(hello.protocol) == MAGIC + b"\0\4\1"
    assert len(answer.encode(hello.protocol)) == BARE_ANSWER_BYTES


@pytest.mark.parametrize("data", ANSWERS_2, ids=repr)
def test_a_node_of_version_2_that_is_called_refuses(data: bytes) -> None:
    assert Answer.decode(data) == Answer(Verdict.OTHER_VERSION, protocol(2, 2))


SKIPPED = ("7: 0123456789abcdef", "9: fedcba9876543210")


@pytest.mark.parametrize(
    ("theirs", "ours", "detail"),
    [
        ((), (), None),
        (SKIPPED, SKIPPED, None),
        ((), SKIPPED, f"this node leaves out {SKIPPED[0]}, {SKIPPED[1]} more"),
        (SKIPPED, SKIPPED[:1], f"the other one leaves out {SKIPPED[1]} more"),
        (
            SKIPPED[:1],
            SKIPPED[1:],
            f"the other one leaves out {SKIPPED[0]} more; this node leaves out {SKIPPED[1]} more",
        ),
    ],
    ids=str,
)
def test_nodes_that_leave_out_other_commands_refuse_each_other(
    theirs: tuple[str, ...], ours: tuple[str, ...], detail: str | None
) -> None:
    hello = attrs.evolve(HELLO, skipped_commands=", ".join(theirs))
    answer = judge(
        Hello.decode(hello.encode()), attrs.evolve(ENDPOINT, skipped_commands=", ".join(ours)), ProtocolRange()
    )
    if detail is None:
        assert answer.verdict is Verdict.ACCEPTED
    else:
        remedy = "stop all nodes, and start them with the same skipped_commands"
        assert (answer.verdict, answer.detail) == (Verdict.OTHER_SKIPPED_COMMANDS, f"{remedy}: {detail}")


def test_the_longest_list_of_skipped_commands_fits() -> None:
    longest = "\U0001f600" * 255
    cluster = ClusterConfig(longest, skipped_commands={2**62 + n: "0123456789abcdef" for n in range(64)})
    hello = Hello(longest, longest, longest, address="x" * 512, skipped_commands=cluster.skipped_text)
    assert len(hello.encode()) <= MAX_HELLO_BYTES
    assert Hello.decode(hello.encode()) == hello


# --- verdicts ------------------------------------------------------------------------------------------------

LATER = protocol(NEWEST_VERSION + 1, NEWEST_VERSION + 1)


@pytest.mark.parametrize(
    ("hello", "verdict", "detail"),
    [
        (HELLO, Verdict.ACCEPTED, ""),
        (attrs.evolve(HELLO, protocol=LATER), Verdict.OTHER_VERSION, "upgrade this node"),
        (Hello("stock", "a", "b"), Verdict.OTHER_CLUSTER, "'orders'"),
        (Hello("orders", "b", "b"), Verdict.ITSELF, ""),
        (Hello("orders", "b", "c"), Verdict.ITSELF, ""),
        (Hello("orders", "a", "c"), Verdict.WRONG_RECEIVER, "'b'"),
        (Hello("orders", "x", "b"), Verdict.UNKNOWN_NODE, ""),
        (attrs.evolve(HELLO, initial_voters=voters_digest("cab")), Verdict.ACCEPTED, ""),
        (
            attrs.evolve(HELLO, initial_voters=voters_digest("ab")),
            Verdict.OTHER_VOTERS,
            "was started with the voters a, b, c",
        ),
        (Hello("orders", "x", "b", initial_voters=voters_digest("xb")), Verdict.OTHER_VOTERS, "a, b, c"),
        (attrs.evolve(HELLO, timing_ms=(200, 400)), Verdict.ACCEPTED, ""),
        (attrs.evolve(HELLO, timing_ms=(200, 4_000)), Verdict.ACCEPTED, ""),
        (
            attrs.evolve(HELLO, timing_ms=(202, 4_000)),
            Verdict.OTHER_TIMING,
            "other one as leader speaks every 202 ms",
        ),
        (attrs.evolve(HELLO, timing_ms=(100, 396)), Verdict.OTHER_TIMING, "this node as leader speaks every 200 ms"),
    ],
    ids=str,
)
def test_the_verdict(hello: Hello, verdict: Verdict, detail: str) -> None:
    answer = judge(hello, ENDPOINT, ProtocolRange())
    assert answer.verdict is verdict
    assert detail in answer.detail
