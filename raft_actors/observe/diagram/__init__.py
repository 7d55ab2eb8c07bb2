"""A space-time diagram of a simulated run, as one HTML file that needs nothing but a browser.

Nodes are lanes over time, messages are arrows between them; roles, terms, crashes, faults, commits, client calls and
broken invariants stand where they happened. `write_diagram` makes it from the events of a trace:

    write_diagram(read_trace("run.jsonl"), "run.html", title="seed 7")

The page is laid out in `page.html` and `style.css` and brought to life by the files in `script`. They are put into the
HTML file as they are; nothing is loaded over a network, and the page's own policy forbids it to try.
"""

from raft_actors.observe.diagram.columns import pack
from raft_actors.observe.diagram.page import write_diagram
from raft_actors.observe.diagram.reading import read_trace

__all__ = ["pack", "read_trace", "write_diagram"]
