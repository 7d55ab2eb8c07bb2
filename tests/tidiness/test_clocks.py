"""Nothing goes by the wall clock: it jumps, and a timer that went by it would fire at once, or never."""

from __future__ import annotations

import ast

from tests.tidiness.test_tidiness import sources

PRODUCT = ("raft_actors/", "transports/", "persistence/")
# Moves the clocks, to see whether a state machine looks at them.
CLOCKMAKER = "raft_actors/testing/state_machines/surroundings.py"
# By which certificates are valid.
CALENDAR = "transports/tls/today.py"
# What clients of the Redis service call a moment: turned into how long that is from now.
MOMENTS = "raft_actors/service/today.py"
WALL_CLOCKS = {
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}
LAST_WORDS = {clock.rpartition(".")[2] for clock in WALL_CLOCKS}


def wall_clocks(tree: ast.Module) -> set[str]:
    """The wall clocks that a module names, however it has imported them."""
    found = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    named = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in LAST_WORDS  # to unparse all of them takes seconds
    ]
    return {clock for clock in WALL_CLOCKS if clock in found or any(f".{name}".endswith(f".{clock}") for name in named)}


def test_no_module_of_the_product_looks_at_the_wall_clock() -> None:
    found = {path: wall_clocks(tree) for path, tree in sources().items() if path.startswith(PRODUCT)}
    assert len(found) > 100
    assert found.pop(CLOCKMAKER)
    assert found.pop(CALENDAR)
    assert found.pop(MOMENTS)
    assert {path: clocks for path, clocks in found.items() if clocks} == {}


def test_every_way_to_name_one_is_noticed() -> None:
    for source in (
        "import time\nnow = time.time()",
        "from time import time_ns",
        "from datetime import datetime as dt\nfrom time import localtime",
        "import datetime\nnow = datetime.datetime.now(datetime.UTC)",
        "from datetime import date\ntoday = date.today()",
    ):
        assert wall_clocks(ast.parse(source)), source
    assert not wall_clocks(ast.parse("import time\nimport trio\nnow = time.monotonic() + trio.current_time()"))
