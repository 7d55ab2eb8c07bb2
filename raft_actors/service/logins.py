"""Logging in, made dear for those who guess.

A password is compared in a thread, because its hash is slow on purpose; one at a time, so that guesses take one core at
most. Whoever guesses wrong waits before it is told so, longer each time, and with it everybody at the same address who
is not known yet (see `network_of` for what an address is). A password that was right is recognized at once the next
time, by a keyed hash that never leaves the process, so that pools of connections come back quickly, and past those who
guess.

Only so many log-ins are under way at a time. Where there is no room for one more, the last one of the address that has
most of them makes room, unless that is the newcomer's own: who guesses from one address, over however many connections,
keeps nobody else out. Whoever is turned away is told so, and not that its password was wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
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


class TurnedAway(Exception):
    """Too many log-ins are under way: this one was not heard to its end, and nothing is known of its password."""


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
        turned_away: log-ins refused unheard, because too many were under way, or because the password is too long.
    """

    users: Mapping[str, User] = EVERYBODY
    failed: int = 0
    turned_away: int = 0
    _secret: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _known: dict[bytes, None] = attrs.field(factory=dict[bytes, None], init=False, repr=False)
    _callers: dict[str, _Caller] = attrs.field(factory=dict[str, _Caller], init=False)
    _queues: dict[str, dict[trio.CancelScope, None]] = attrs.field(
        factory=dict[str, dict[trio.CancelScope, None]], init=False
    )
    """Address → its log-ins that wait for their turn, the last one last."""
    _heard: Counter[str] = attrs.field(factory=Counter[str], init=False)
    """Address → its log-ins whose turn it is: one, or a few where others of that address have just been let in."""
    _thread: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def log_in(self, address: str, name: str, password: bytes) -> User | None:
        """Return the user; None where there is none with this password, as late as whoever asks deserves it.

        Raises:
            TurnedAway: too many log-ins are under way. It may come again.
        """
        user = self.users.get(name)
        if user is not None and user.enabled and user.password is None:
            return user
        if user is not None and self._token(user, password) in self._known:
            return user
        if len(password) > MAX_PASSWORD_BYTES:
            self.turned_away += 1
            return None
        self._make_room(address)
        caller = self._caller(address)
        await self._wait_for_turn(caller, address)
        self._heard[address] += 1
        try:
            return await self._compare(caller, address, user, password)
        finally:
            caller.turn.release()
            self._heard[address] -= 1
            if not self._heard[address]:
                del self._heard[address]

    def _make_room(self, address: str) -> None:
        """Have room for one more of this address.

        Raises:
            TurnedAway: there is none.
        """
        if sum(map(len, self._queues.values())) + self._heard.total() < _MOST_WAITING:
            return
        # Whose turn it is keeps it: to end its wait before it is told would make the next guess cheap.
        most = max(self._queues, key=self._under_way, default=address)
        if self._under_way(most) <= self._under_way(address) + 1:
            self.turned_away += 1
            raise TurnedAway
        last = next(reversed(self._queues[most]))
        self._leave(most, last)
        last.cancel()

    def _under_way(self, address: str) -> int:
        return len(self._queues.get(address, ())) + self._heard[address]

    async def _wait_for_turn(self, caller: _Caller, address: str) -> None:
        """Return with the caller's turn.

        Raises:
            TurnedAway: others needed its place.
        """
        scope = trio.CancelScope()
        self._queues.setdefault(address, {})[scope] = None
        try:
            with scope:
                await caller.turn.acquire()
                return
        finally:
            self._leave(address, scope)
        self.turned_away += 1
        raise TurnedAway

    def _leave(self, address: str, scope: trio.CancelScope) -> None:
        """Take a log-in out of its queue, if it is in it still."""
        queue = self._queues.get(address, {})
        queue.pop(scope, None)
        if not queue:
            self._queues.pop(address, None)

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
