"""Connecting with a host, also by name, without holding up anybody who has nothing to do with it.

A look-up of a name takes a thread until the system's resolver is done, also where nobody waits for it any more: half a
minute, maybe, if no name server answers. `trio.open_tcp_stream` takes these threads from Trio's default limiter,
which has 40: attempts that are given up and repeated would take all of them, and then files and other names wait, too
(`findings/trio_names_take_all_threads.sh`). Here each name has a few of its own.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from functools import partial

import trio

from raft_actors.transports.sockets.addresses import Address

_LOOK_UPS_OF_A_NAME = 2
"""At a time: the next one waits for one that was given up."""

_limiters: trio.lowlevel.RunVar[dict[str, trio.CapacityLimiter]] = trio.lowlevel.RunVar("look-ups of names")


async def connect(to: Address, within_s: float) -> trio.SocketStream:
    """Connect with a host, at whichever of its addresses answers first in their order.

    Args:
        to: the host, by name or number.
        within_s: how long the caller will wait; no address but the last takes more than its share of that.

    Raises:
        OSError: there is no such host, or nobody listens there.
        UnicodeError: the name can't be one.
    """
    hosts = (to.host,) if _is_number(to.host) else await _look_up(to)
    *others, last = hosts
    for host in others:
        with suppress(OSError), trio.move_on_after(within_s / len(hosts)):
            return await trio.open_tcp_stream(host, to.port)
    return await trio.open_tcp_stream(last, to.port)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(to: Address) -> tuple[str, ...]:
    """The numeric addresses of a host, as the system puts them in order."""
    limiters = _limiters.get({})
    _limiters.set(limiters)
    limiter = limiters.setdefault(to.host, trio.CapacityLimiter(_LOOK_UPS_OF_A_NAME))
    ask = partial(socket.getaddrinfo, to.host, to.port, type=socket.SOCK_STREAM)
    try:
        found = await trio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=limiter)
    finally:
        if not limiter.borrowed_tokens and not limiter.statistics().tasks_waiting:
            limiters.pop(to.host, None)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
