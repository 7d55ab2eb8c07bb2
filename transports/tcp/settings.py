"""What the settings of a `TcpTransport` may be."""

from __future__ import annotations

from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.transports.sockets.addresses import Address


def check_positive(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Refuse what is not above 0.

    Raises:
        ConfigurationError: it is not.
    """
    if not value > 0:
        raise ConfigurationError(f"TcpTransport: {attribute.name} must be positive, not {value}")


def check_delays(_instance: object, attribute: attrs.Attribute[Any], value: tuple[float, float]) -> None:
    """Refuse what is no range.

    Raises:
        ConfigurationError: it is not.
    """
    if not 0 < value[0] <= value[1]:
        raise ConfigurationError(f"TcpTransport: {attribute.name} must be (shortest, longest), not {value}")


def parse_peer(text: str) -> Address:
    """The address of a peer, of which nobody knows whether it is one: here, that is one more reason to be out of reach.

    Raises:
        OSError: it is none.
    """
    try:
        return Address.parse(text)
    except ConfigurationError as error:
        raise OSError(str(error)) from error


def parse_listen(text: str) -> Address:
    """Where to listen; port 0 takes any.

    Raises:
        ConfigurationError: it is no address.
    """
    return Address.parse(text, port_zero=True)
