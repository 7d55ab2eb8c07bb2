"""What a target is: bytes in, and what may come of them.

A target takes bytes and returns, or raises one of the errors that it promises. Everything else is a finding: another
exception, or more memory than the bytes can account for.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

Feed = Callable[[bytes], object]


@attrs.frozen
class Target:
    """One place.

    Attributes:
        feed: takes the bytes.
        promised: the errors that it may raise.
        seeds: bytes that are in order, to begin with.
        most_bytes: inputs are no longer.
        memory_factor: how many bytes of memory one byte of input may take.
        free_bytes: what it may take besides, whatever the input.
        inputs_in_test: how many it is fed in `make test`: about a second of them.
        waits: whether what `feed` returns is to be awaited, in a Trio run: the same for many inputs, because to start
            one takes longer than most of them.
    """

    feed: Feed
    promised: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    most_bytes: int = 4096
    memory_factor: int = 100
    free_bytes: int = 300_000
    inputs_in_test: int = 3_000
    waits: bool = False
