"""Logging in, made dear for those who guess.

A password is compared in a thread, because its hash is slow on purpose; one at a time, so that guesses take one core at
most. Whoever guesses wrong waits before it is told so, longer each time, and with it everybody at the same address who
is not known yet (see `network_of` for what an address is). A password that was right is recognized at once the next
time, by a keyed hash that never leaves the process, so that pools of connections come back quickly, and past those who
guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

import attrs
import trio

from raft_actors.records import define
from raft_actors.service.users import EVERYBODY, MAX_PASSWORD_BYTES, PasswordHash, User

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0
_MOST_ADDRESSES = 1024
_MOST_KNOWN = 1024
_MOST_WAITING = 64

_NOBODY = PasswordHash(14, 8, 1, bytes(16), bytes(32))
"""Compared with where there is no such user, so that the time it takes does not tell."""


async def _in_a_thread(expected: PasswordHash, password: bytes, limiter: trio.CapacityLimiter) -> bool:
    return await trio.to_thread.run_sync(expected.matches, password, limiter=limiter)


@define(eq=False)
class _Caller:
    """One address that guesses: how often in a row, and the queue of those there who wait to be told."""

    failures: int = 0
    turn: trio.Lock = attrs.field(factory=trio.Lock)


@define(eq=False)
class Logins:
    """Says who logs in.

    Attributes:
        users: by name; may be replaced at any time.
        failed: log-ins that were refused.
        turned_away: log-ins refused unheard, because too many were under way.
    """

    users: Mapping[str, User] = EVERYBODY
    failed: int = 0
    turned_away: int = 0
    _secret: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _known: dict[bytes, None] = attrs.field(factory=dict[bytes, None], init=False, repr=False)
    _callers: dict[str, _Caller] = attrs.field(factory=dict[str, _Caller], init=False)
    _waiting: int = attrs.field(default=0, init=False)
    _thread: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def log_in(self, address: str, name: str, password: bytes) -> User | None:
        """Return the user; None where there is none with this password, as late as whoever asks deserves it."""
        user = self.users.get(name)
        if user is not None and user.enabled and user.password is None:
            return user
        if user is not None and self._token(user, password) in self._known:
            return user
        if self._waiting >= _MOST_WAITING or len(password) > MAX_PASSWORD_BYTES:
            self.turned_away += 1
            return None
        self._waiting += 1
        caller = self._caller(address)
        try:
            async with caller.turn:
                return await self._compare(caller, address, user, password)
        finally:
            self._waiting -= 1

    async def _compare(self, caller: _Caller, address: str, user: User | None, password: bytes) -> User | None:
        expected = _NOBODY if user is None or user.password is None else user.password
        right = await _in_a_thread(expected, password, self._thread)
        if right and user is not None and user.enabled and self.users.get(user.name) == user:
            self._callers.pop(address, None)
            self._remember(self._token(user, password))
            return user
        self.failed += 1
        caller.failures += 1
        await trio.sleep(min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(10, caller.failures - 1)))
        return None

    def _caller(self, address: str) -> _Caller:
        caller = self._callers.pop(address, None) or _Caller()
        self._callers[address] = caller  # the newest last
        if len(self._callers) > _MOST_ADDRESSES:
            del self._callers[next(iter(self._callers))]
        return caller

    def _token(self, user: User, password: bytes) -> bytes:
        said = hashlib.sha256(password).digest() + str(user).encode()
        return hmac.digest(self._secret, said, "sha256")

    def _remember(self, token: bytes) -> None:
        self._known[token] = None
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
