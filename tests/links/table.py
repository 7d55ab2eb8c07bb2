"""The outcomes as a document."""

from __future__ import annotations

from collections.abc import Sequence

from raft_actors import NodeConfig
from tests.links.network import LATE_S, Way
from tests.links.scenarios import SCENARIOS
from tests.links.trial import CLIENTS, PAUSE_S, Outcome

WAYS = (Way.BROKEN, Way.SILENT, Way.LATE)

_TEXT = """# What broken links cost

Made by `make links` (`python -m tests.links`). Real processes with default settings (election timeouts of {shortest:g}
to {longest:g} s), over TCP and with stores on disk, reach each other only through proxies, which break links, each
direction for itself, for {hold:g} s at a time. Meanwhile {clients} clients of whichever node leads write one command
after another, with {pause:g} ms in between. A cell says the longest time between two acknowledged writes, from the
first break until all links were whole and all nodes followed one leader, and how many terms that took, if any. The
machine's own share, its disk's above all, is in each cell, as in the row "nothing breaks": where no term was taken,
nobody was elected, and the writes went on by the same leader.

A link is *broken* where its connections are closed and no new ones come about, as by a firewall that refuses; *silent*
where what is sent is lost and nobody is told, as by one that drops; *late* where all arrives {late:g} s later. Of
silence, followers can tell only by their timeouts that the leader is gone; when a connection breaks, they ask at once
whether the others have lost it too.

In the upper rows the leader has two-way links to a majority all along. So the same node has to lead on in the same
term, and no client may be told an error: that is what pre-votes are for, and voters that stand by the leader they
hear. In the lower rows the leader loses its majority, and another one is elected; where links are only late it need not
be. No acknowledged write was lost in any of them, and none was done twice.

"""


def document(outcomes: Sequence[Outcome], hold_s: float) -> str:
    """The table."""
    shortest, longest = NodeConfig().election_timeout_s
    columns = [(size, way) for size in sorted({outcome.size for outcome in outcomes}) for way in WAYS]
    cells = {(outcome.scenario.name, outcome.size, outcome.way): _cell(outcome) for outcome in outcomes}
    lines = ["| | " + " | ".join(f"{size} nodes, {way}" for size, way in columns) + " |"]
    lines.append("|---|" + "--:|" * len(columns))
    led_on = True
    for scenario in SCENARIOS:
        if led_on and not scenario.leads_on:
            lines.append("| **another one leads** |" + " |" * len(columns))
        led_on = scenario.leads_on
        row = (cells.get((scenario.name, *column), "") for column in columns)
        name = scenario.name if scenario.times == 1 else f"{scenario.name} ({scenario.times} times)"
        lines.append(f"| {name} | {' | '.join(row)} |")
    text = _TEXT.format(
        shortest=shortest, longest=longest, hold=hold_s, clients=CLIENTS, pause=1_000 * PAUSE_S, late=LATE_S
    )
    return text + "\n".join(lines) + "\n"


def _cell(outcome: Outcome) -> str:
    terms = f", {outcome.terms} term{'s' * (outcome.terms > 1)}" if outcome.terms else ""
    wrong = " **wrong**" if outcome.wrong else ""
    return f"{outcome.gap_s:.2f} s{terms}{wrong}"
