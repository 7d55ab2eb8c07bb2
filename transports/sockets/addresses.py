"""Addresses of TCP transports: `host:port` or `[IPv6 address]:port`."""

from __future__ import annotations

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen

_EXAMPLES = "write 'host:port', such as '10.0.0.1:7000', 'db1.example.org:7000' or '[::1]:7000'"


@frozen
class Address:
    """A host (name or number) and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, port_zero: bool = False) -> Address:
        """Take an address apart.

        Args:
            text: the address.
            port_zero: allow port 0, with which a listener takes any free port.

        Raises:
            ConfigurationError: it is no address; the message says what is wrong and how one looks.
        """
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ConfigurationError(f"address {text!r} has no port: {_EXAMPLES}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigurationError(f"address {text!r}: an IPv6 address goes in brackets: {_EXAMPLES}")
        if not host or len(host) > 255 or not host.isprintable() or any(c in " []/@" for c in host):
            raise ConfigurationError(f"address {text!r} has no proper host: {_EXAMPLES}")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
            raise ConfigurationError(f"address {text!r}: the port must be a number up to 65535: {_EXAMPLES}")
        if port == "0" * len(port) and not port_zero:
            raise ConfigurationError(f"address {text!r}: nobody can be reached at port 0")
        return cls(host, int(port))

    def __str__(self) -> str:
        """Return the address as `parse` takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
