"""What a node makes of silence that is none of the members any more.

A leader tells whoever is removed, for a while (`FAREWELL`), and then nothing more. What this node waits for then never
comes: neither what became of proposals that have a place in the log, nor whether an entry of its log that removes it is
committed. To be added again is another matter: then a leader speaks to it anew.
"""

from __future__ import annotations

from raft_actors.records import define

#: For how many of the longest election timeouts a member that was removed is told so, if it does not answer.
FAREWELL = 10


@define
class Solitude:
    """How long nobody has led this node, which is no member by its own log.

    Attributes:
        is_final: whether nobody tells it anything any more, as far as it can judge.
    """

    is_final: bool = False
    _since: float | None = None

    def ends(self) -> None:
        """A leader has spoken to it, or it is a member."""
        self.is_final, self._since = False, None

    def goes_on(self, now: float, *, knows: bool, longest_timeout_s: float) -> None:
        """Nobody leads it now, as it has heard no leader for an election timeout.

        Args:
            knows: whether it knows that its removal is committed. Then whoever told it has no more to say to it.
            longest_timeout_s: the longest of election timeouts.
        """
        if self._since is None:
            self._since = now
        self.is_final = knows or now - self._since >= FAREWELL * longest_timeout_s
