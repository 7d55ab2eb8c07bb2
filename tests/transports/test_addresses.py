from __future__ import annotations

import pytest

from raft_actors.errors import ConfigurationError
from raft_actors.transports.sockets.addresses import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:7000", "10.0.0.1", 7000),
        ("db1.example.org:1", "db1.example.org", 1),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:7000", "::1", 7000),
        ("[fe80::1%eth0]:7000", "fe80::1%eth0", 7000),
    ],
)
def test_an_address_is_taken_apart_and_put_together(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no port"),
        ("localhost", "no port"),
        (":7000", "no proper host"),
        ("[]:7000", "no proper host"),
        ("[::1:7000", "brackets"),
        ("a b:7000", "no proper host"),
        ("a\0b:7000", "no proper host"),
        ("tcp://a:7000", "brackets"),
        ("a/b:7000", "no proper host"),
        ("a@b:7000", "no proper host"),
        ("a" * 256 + ":7000", "no proper host"),
        ("::1:7000", "brackets"),
        ("a:", "must be a number"),
        ("a:http", "must be a number"),
        ("a:-1", "must be a number"),
        ("a:65536", "must be a number"),
        ("a:100000000", "must be a number"),
        ("a:\N{SUPERSCRIPT TWO}\N{ARABIC-INDIC DIGIT SEVEN}", "must be a number"),
        ("a: 7000", "must be a number"),
        ("a:0", "nobody can be reached"),
        ("a:000", "nobody can be reached"),
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Address.parse(text)


def test_a_listener_may_leave_the_port_open() -> None:
    assert Address.parse("127.0.0.1:0", port_zero=True) == Address("127.0.0.1", 0)
