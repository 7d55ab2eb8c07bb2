"""What no honest member can say, though it is a message: a node drops it, and goes on.

Such a message is refused before it is acted on, so nothing here depends on it, and its sender is the one that is wrong.
It differs from a contradiction (two leaders of a term, or of what is committed): there either of the two may be wrong,
this node as well, and it stops.
"""

from __future__ import annotations

import enum

MOST_TERMS_AHEAD = 2**24
"""How far ahead of a node's own term another one's may be, to be taken at its word; and by how much at most a message
lets it go up.

Every node that hears of a term enters it for good (§5.1), so whoever may name any term uses them all up with one
message. At this pace it takes 2**38 of them, each of which costs a synced write: years. An election counts one up, and
takes an election timeout: a node that was cut off, and stands all the time, comes so far in a month. Where one does, or
was lied to, it is met after a message or two more.
"""


class Impossible(enum.StrEnum):
    """What was impossible, as it is counted."""

    MATCH = "match"
    """It holds more of the log than there is."""
    ROUND = "round"
    """It answers a question that nobody has asked."""
    TERM = "term"
    """Its term is farther ahead than elections come."""
