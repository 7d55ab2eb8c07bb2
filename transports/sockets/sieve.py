"""Having the system refuse connections before the process hears of them.

To accept and close a connection costs a process more than to ask for one, and those that wait to be accepted are in the
way of others. On Linux a listener may have a filter that sees each packet before anything is made of it
(`SO_ATTACH_FILTER`, a program of the classic Berkeley packet filter, for which no right is needed). The ones made here
drop who asks for a connection, by address: that costs the kernel a microsecond. To the caller it is as if the network
had lost what it sent, so an honest one asks again, after a second at first.

Other systems have no such thing, and some sandboxes only say that they have: whoever uses this looks whether it helps.
"""

from __future__ import annotations

import array
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator

from raft_actors.records import frozen

MOST_NETWORKS = 128
"""That one sieve may list: two of them at a time have to fit into 20 KiB (`net.core.optmem_max` of older kernels)."""

# Linux's, which Python's `socket` does not name. They are others on machines on which they then fail.
_ATTACH_FILTER, _DETACH_FILTER, _MEMORY = 26, 27, 55
_DROPS = 8  # which number of `SO_MEMINFO` counts the packets that were dropped

# The filter's machine (<linux/bpf_common.h>): an accumulator, words of memory, jumps ahead by so many instructions.
_LOAD_BYTE, _LOAD_WORD, _STORE, _LOAD_MEMORY = 0x30, 0x20, 0x02, 0x60
_JUMP_IF_EQUAL, _JUMP_IF_ANY_BIT, _RETURN = 0x15, 0x45, 0x06
_NETWORK_HEADER = 0xFFF0_0000  # offsets from here on are of the IP header; others of TCP's
_FLAGS, _SYN = 13, 0x02
_SOURCE = {socket.AF_INET: (12, 1), socket.AF_INET6: (8, 4)}  # where in the IP header it is, and how many words
_DROP, _KEEP = 0, 0xFFFF_FFFF

_Instruction = tuple[int, int, int, int]
"""What to do, how far to jump if so and if not, and with what number."""


@frozen
class Sieve:
    """Who may ask for a connection.

    Attributes:
        networks: as of `accepting.network_of`; `MOST_NETWORKS` at most.
        drops: whether these are dropped, and all others let through; else it is the other way about.
    """

    networks: tuple[str, ...]
    drops: bool

    def program(self, family: int) -> list[_Instruction]:
        """The filter for a listener of IPv4 or IPv6.

        Connections that are accepted have their listener's filter, too. So it must let all through that asks for none.
        """
        source, words = _SOURCE[socket.AddressFamily(family)]
        listed, others = (_DROP, _KEEP) if self.drops else (_KEEP, _DROP)
        program = [(_LOAD_BYTE, 0, 0, _FLAGS), (_JUMP_IF_ANY_BIT, 1, 0, _SYN), (_RETURN, 0, 0, _KEEP)]
        for word in range(words):
            program += [(_LOAD_WORD, 0, 0, _NETWORK_HEADER + source + 4 * word), (_STORE, 0, 0, word)]
        for network in self.networks:
            numbers = list(_words_of(network, family))
            for word, number in enumerate(numbers):
                to_next = 2 * (len(numbers) - word) - 1
                program += [(_LOAD_MEMORY, 0, 0, word), (_JUMP_IF_EQUAL, 0, to_next, number)]
            if numbers:
                program.append((_RETURN, 0, 0, listed))
        program.append((_RETURN, 0, 0, others))
        return program


def _words_of(network: str, family: int) -> Iterator[int]:
    """What an address of that network begins with, in words of four bytes; nothing if it is none of this family."""
    try:
        address = ipaddress.ip_address(network.partition("%")[0])
    except ValueError:  # who had gone before it was known from where it came
        return
    if (address.version == 6) is not (family == socket.AF_INET6):
        return
    packed = address.packed
    # See `network_of`: a whole network of IPv6 ends with eight zeros, a single address does not.
    yield from (
        struct.unpack("!2I", packed[:8]) if packed[8:] == bytes(8) else struct.unpack(f"!{len(packed) // 4}I", packed)
    )


def attach(listener: socket.socket, sieve: Sieve) -> bool:
    """Have a listener's connections pass a sieve, instead of any that it has; whether the system says that they do."""
    if sys.platform != "linux" or listener.family not in _SOURCE:
        return False
    program = sieve.program(listener.family)
    code = array.array("B", b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", len(program), code.buffer_info()[0]))
    except OSError:  # a sandbox, no memory for it
        return False
    return True


def detach(listener: socket.socket) -> None:
    """Let all through again.

    Raises:
        OSError: the listener is none any more.
    """
    listener.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


def dropped(listener: socket.socket) -> int:
    """How many packets of a listener the system has dropped: by a sieve, or for a full queue. Wraps at 2**32."""
    try:
        numbers = array.array("I", listener.getsockopt(socket.SOL_SOCKET, _MEMORY, 64))
    except OSError:
        return 0
    return numbers[_DROPS] if len(numbers) > _DROPS else 0
