"""A certificate speaks for one node of one cluster, by the rule that the cluster goes by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import ConfigurationError
from raft_actors.transports.conversation import Right
from raft_actors.transports.tls.failures import TlsFailure, Trouble
from raft_actors.transports.tls.naming import DEFAULT_RULE, NameRule
from raft_actors.transports.tls.rights import caller_of, client_rules

URI = NameRule.parse(DEFAULT_RULE)
IDS = st.text(min_size=1, max_size=20)


def certificate(*names: tuple[str, str], common_name: str = "x") -> dict[str, Any]:
    return {"subject": ((("commonName", common_name),),), "subjectAltName": names}


def trouble(rule: NameRule, said: dict[str, Any], cluster: str = "orders", node: str = "n1") -> Trouble | None:
    try:
        rule.check(said, cluster, node)
    except TlsFailure as failure:
        return failure.trouble
    return None


def test_the_uri_names_cluster_and_node() -> None:
    assert trouble(URI, certificate(("URI", "raft://orders/n1"))) is None
    assert trouble(URI, certificate(("DNS", "n1"), ("URI", "raft://other/n1"), ("URI", "raft://orders/n1"))) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Trouble.NO_CERTIFICATE),
        (certificate(), Trouble.NO_NAME),
        (certificate(("DNS", "raft://orders/n1"), common_name="n1"), Trouble.NO_NAME),
        (certificate(("URI", "raft://orders/n2")), Trouble.OTHER_NODE),
        (certificate(("URI", "raft://others/n1")), Trouble.OTHER_CLUSTER),
        (certificate(("URI", "raft://orders/N1")), Trouble.OTHER_NODE),
        (certificate(("URI", "raft://orders/n1/")), Trouble.OTHER_NODE),
        (certificate(("URI", "RAFT://orders/n1")), Trouble.OTHER_CLUSTER),
        (certificate(("URI", "raft://orders/*")), Trouble.OTHER_NODE),
        (certificate(("URI", "raft://orders/n1\0")), Trouble.OTHER_NODE),
    ],
    ids=[
        *(
            "no certificate",
            "no name",
            "another kind of name",
            "other node",
            "other cluster",
            "other case",
            "a slash more",
        ),
        *("scheme in capitals", "wildcard", "NUL"),
    ],
)
def test_every_other_name_is_refused_by_name(said: dict[str, Any], expected: Trouble) -> None:
    assert trouble(URI, said) is expected


def test_the_error_says_what_was_found_and_what_was_expected() -> None:
    with pytest.raises(TlsFailure, match="it is for 'raft://orders/n2', and 'raft://orders/n1' was expected"):
        URI.check(certificate(("URI", "raft://orders/n2")), "orders", "n1")
    many = certificate(*(("URI", f"raft://orders/m{number}") for number in range(1000)))
    with pytest.raises(TlsFailure) as caught:
        URI.check(many, "orders", "n1")
    assert len(str(caught.value)) < 200


@given(IDS, IDS, IDS, IDS)
def test_no_two_nodes_have_one_uri(cluster: str, node: str, other_cluster: str, other_node: str) -> None:
    same = (cluster, node) == (other_cluster, other_node)
    assert (URI.name_of(cluster, node) == URI.name_of(other_cluster, other_node)) == same
    assert URI.name_of(cluster, node).isascii()


def test_a_dns_name_is_compared_as_such_and_without_wildcards() -> None:
    rule = NameRule.parse("dns:{node}.{cluster}.example.org")
    assert trouble(rule, certificate(("DNS", "N1.Orders.example.ORG"))) is None
    assert trouble(rule, certificate(("DNS", "*.orders.example.org"))) is Trouble.OTHER_NODE
    assert trouble(rule, certificate(("DNS", "n1.others.example.org"))) is Trouble.OTHER_CLUSTER


def test_a_common_name() -> None:
    rule = NameRule.parse("cn:{node}")
    assert trouble(rule, certificate(common_name="n1")) is None
    assert trouble(rule, certificate(common_name="n2")) is Trouble.OTHER_NODE
    assert trouble(rule, {"subjectAltName": (("DNS", "n1"),)}) is Trouble.NO_NAME


def test_ids_are_no_patterns() -> None:
    assert URI.name_of("{node}", "{cluster}") == "raft://%7Bnode%7D/%7Bcluster%7D"
    assert NameRule.parse("cn:{cluster}-{node}").name_of("{node}", "{cluster}") == "{node}-{cluster}"


@pytest.mark.parametrize(
    "text", ["", "{node}", "ip:{node}", "uri:raft://x", "dns:{cluster}", "cn:{node}{", "cn:{id}{node}"]
)
def test_a_rule_that_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write 'uri:raft://\{cluster\}/\{node\}'"):
        NameRule.parse(text)


def test_a_rule_is_written_as_it_was_read() -> None:
    assert str(URI) == DEFAULT_RULE


def test_a_name_that_fits_clients_by_accident_is_a_nodes() -> None:
    """Where both are names under one domain, say: of the two patterns the one that says more of the name is meant."""
    for nodes, clients, name, is_node in (
        ("dns:{node}.raft.example.org", "dns:*.example.org", "n1.raft.example.org", True),
        ("dns:{node}.raft.example.org", "dns:*.example.org", "billing.example.org", False),
        ("cn:{node}", "cn:client-*", "client-billing", False),
        ("cn:{node}", "cn:*", "n1", True),
        ("cn:{node}", "cn:billing", "billing", False),
        ("uri:raft://{cluster}/{node}", "uri:raft://orders/*", "raft://orders/n1", True),
        ("uri:raft://{cluster}/{node}", "uri:raft://{cluster}/operator-*", "raft://orders/operator-alice", False),
        ("uri:raft://{cluster}/{node}", "dns:*", "n1.example.org", False),
    ):
        kind = clients.partition(":")[0]
        said = certificate(common_name=name) if kind == "cn" else certificate((kind.upper(), name))
        rules = client_rules({clients: ("read",)})
        caller = caller_of(said, "orders", rules, NameRule.parse(nodes), "")
        assert (caller.name, caller.rights) == (name, frozenset({Right.READ}))
        assert (caller.speaks_for is not None) == is_node, (nodes, clients, name)
