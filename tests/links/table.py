"""The outcomes as a document."""

from __future__ import annotations

from collections.abc import Sequence

from raft_actors import NodeConfig
from tests.links.network import LATE_S, Way
from tests.links.scenarios import SCENARIOS
from tests.links.trial import CLIENTS, PAUSE_S, Outcome

WAYS = (Way.BROKEN, Way.SILENT, Way.LATE)

_TEXT = """# What broken links cost

Made by `make links` (`python -m tests.links`). Real processes with default settings (election timeouts of
{shortest:g} to {longest:g} s), over TCP and with stores on disk, reach each other only through proxies, which
break links (the two directions are independent) for {hold:g} s at a time. Meanwhile {clients} clients of
whichever node leads write one command after another, with {pause:g} ms in between. A cell shows the longest time
between two acknowledged writes, from the first break until all links worked and all nodes followed one leader,
and how many new terms that took, if any. Delays of the machine, mainly of its disk, are in every cell; the row
"nothing breaks" shows how large they are.

A link is *broken* if its connections are closed and new ones are refused (a firewall that rejects), *silent* if
what is sent is lost without notice (a firewall that drops), and *late* if everything arrives {late:g} s later.
If the leader is silent, followers notice it only by their timeouts; when a connection breaks, they ask the
others at once whether these have lost the leader, too.

In the upper rows the leader has two-way links to a majority all the time. So the same node has to go on leading
in the same term, and no client may get an error: pre-votes, and voters that keep to the leader which they hear,
see to that. In the lower rows the leader loses its majority, and another one is elected (not necessarily if
links are only late). In none of them was an acknowledged write lost, or a write done twice.

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
