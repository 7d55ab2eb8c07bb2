"""Credentials that follow their files, while connections come and go.

What is open stays open: a connection keeps the keys that it has agreed on. Each new one takes what was loaded last. New
files are taken once they have stopped changing, and only if they are of use; else the last good ones stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from raft_actors.errors import CertificateError
from raft_actors.node_log import NodeLog
from raft_actors.records import define
from raft_actors.transports.tls.credentials import CertificateFiles, Credentials
from raft_actors.transports.tls.statistics import CertificateStatistics
from raft_actors.transports.tls.today import DAY_S, date_of, now_s

logger: logging.Logger = logging.getLogger(__name__)


@define(eq=False, kw_only=True)
class LastGood:
    """Credentials of who has nobody to watch the files: it looks at them whenever it needs credentials.

    Attributes:
        files: where they are.
        log: told of new files that are of no use.
    """

    files: CertificateFiles
    log: logging.Logger
    _credentials: Credentials | None = attrs.field(default=None, init=False, repr=False)
    _seen: tuple[object, ...] = attrs.field(default=(), init=False, repr=False)

    async def load(self) -> Credentials:
        """What the files hold now, or held last when they were of use: somebody may be in the middle of replacing them.

        Raises:
            CertificateError: they never were.
        """
        seen = await trio.to_thread.run_sync(self.files.look, abandon_on_cancel=True)
        if self._credentials is not None and seen == self._seen:
            return self._credentials
        try:
            self._credentials = await trio.to_thread.run_sync(Credentials.load, self.files, abandon_on_cancel=True)
        except CertificateError as error:
            if self._credentials is None:
                raise
            self.log.error("new certificates are of no use, the last good ones stay in use: %s", error)  # noqa: TRY400
        self._seen = seen
        return self._credentials


def _accept(_credentials: Credentials) -> None: ...


def _nobody_minds(_expires_at: float) -> None: ...


@define(eq=False, kw_only=True)
class CredentialsKeeper:
    """Keeps the credentials that one set of files stands for.

    Attributes:
        files: where they are.
        log: of the node whose files they are; the module's own where they are no node's.
        check: raises CertificateError for credentials that are in order, and not for this side.
        expiring: called with the moment at which the certificate ends, once a day while that is near or past.
        check_interval_s: how often the files are looked at.
        warn_before_expiry_s: how long before its end a certificate is told of.
    """

    files: CertificateFiles
    log: logging.Logger | NodeLog = logger
    check: Callable[[Credentials], None] = _accept
    expiring: Callable[[float], None] = _nobody_minds
    check_interval_s: float = 2.0
    warn_before_expiry_s: float = 30 * DAY_S
    statistics: CertificateStatistics = attrs.field(factory=CertificateStatistics, init=False)
    _current: Credentials | None = attrs.field(default=None, init=False)
    _seen: tuple[object, ...] = attrs.field(default=(), init=False)
    """The files as they were when they were last loaded, or tried."""
    _told_at: float | None = attrs.field(default=None, init=False)
    """When the coming end of the certificate was told last, by the calendar."""

    @property
    def current(self) -> Credentials:
        """What new connections take.

        Raises:
            CertificateError: nothing was loaded yet.
        """
        if self._current is None:
            raise CertificateError(f"{self.files.certificate} was not loaded yet")
        return self._current

    async def load(self) -> None:
        """Take what the files hold now.

        Raises:
            CertificateError: they are of no use; what was in use, if anything, still is.
        """
        seen, loaded = await trio.to_thread.run_sync(self._read, abandon_on_cancel=True)
        self._seen = seen
        if isinstance(loaded, CertificateError):
            self.statistics.failed_reloads += self._current is not None
            self.statistics.last_failure = str(loaded)
            raise loaded
        self.statistics.reloads += self._current is not None
        self.statistics.last_failure = None
        self.statistics.expires_at = loaded.expires_at
        if loaded.exposed_key:
            self.log.warning("%s can be read by every user of this machine: chmod 600", self.files.key)
        if self._current is not None:
            self.log.info("took new certificates: %s is valid until %s", self.files.certificate, self._end())
        self._current, self._told_at = loaded, None
        self._watch_end()

    def _read(self) -> tuple[tuple[object, ...], Credentials | CertificateError]:
        # Looked at first: what changes meanwhile is seen as a change later.
        seen = self.files.look()
        try:
            loaded = Credentials.load(self.files)
            self.check(loaded)
        except CertificateError as error:
            return seen, error
        return seen, loaded

    async def watch(self) -> None:
        """Load the files anew whenever they have changed, and tell of the certificate's end, until cancelled."""
        changing: tuple[object, ...] | None = None
        while True:
            await trio.sleep(self.check_interval_s)
            self._watch_end()
            look = await trio.to_thread.run_sync(self.files.look, abandon_on_cancel=True)
            if look == self._seen:
                changing = None
            elif look != changing:
                changing = look  # somebody may be in the middle of it: a file at a time
            else:
                changing = None
                try:
                    await self.load()
                except CertificateError as error:
                    self.log.error("new certificates are of no use, the last good ones stay in use: %s", error)  # noqa: TRY400

    def _watch_end(self) -> None:
        now, end = now_s(), self.statistics.expires_at
        if end - now > self.warn_before_expiry_s:
            self._told_at = None
        elif self._told_at is None or not 0 <= now - self._told_at < DAY_S:
            self._told_at = now
            what = "ends" if end > now else "has ended, and others refuse it: it ended"
            self.log.warning("%s %s on %s: put a new one in its place", self.files.certificate, what, self._end())
            self.expiring(end)

    def _end(self) -> str:
        return date_of(self.statistics.expires_at)
