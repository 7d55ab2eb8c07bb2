"""Puts the page together: layout, style, script and the packed events in one HTML file.

Nothing in a trace is trusted. The events are put in as base64, which holds no character that means anything in HTML;
the script shows their text as text; and the page's content security policy lets nothing run but our own script, which
it knows by its hash, and nothing be loaded at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import string
import zlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from raft_actors.errors import ConfigurationError
from raft_actors.observe.diagram.columns import Event, pack

# In this order: each uses only what stands in those before it, until the last one starts it all.
SCRIPTS = (
    "trace.js",
    "ranges.js",
    "words.js",
    "theme.js",
    "messages.js",
    "model.js",
    "filter.js",
    "view.js",
    "layout.js",
    "paint_lanes.js",
    "paint_messages.js",
    "paint_marks.js",
    "paint_tracks.js",
    "overview.js",
    "canvas.js",
    "picking.js",
    "search.js",
    "details.js",
    "panels.js",
    "gestures.js",
    "main.js",
)


def write_diagram(events: Iterable[Event], path: str | Path, *, title: str) -> None:
    """Write the diagram of these events, in one file that any browser of the last years shows, with no network.

    Args:
        events: of a trace, in any order: mappings with at least `t` (seconds) and `kind`; see `pack`.
        path: of the file to write; one that exists is replaced.
        title: what the page calls itself, such as "seed 7, 5 nodes".

    Raises:
        ConfigurationError: an event is none, or the file can't be written.
    """
    text = render_page(events, title=title)
    try:
        Path(path).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"the diagram {path} can't be written: {error.strerror or error}") from error


def render_page(events: Iterable[Event], *, title: str) -> str:
    """The text of the HTML file."""
    folder = resources.files("raft_actors.observe.diagram")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    script = _as_one([folder.joinpath("script", name).read_text(encoding="utf-8") for name in SCRIPTS])
    packed = json.dumps(pack(events), allow_nan=False, separators=(",", ":"))
    layout = string.Template(folder.joinpath("page.html").read_text(encoding="utf-8"))
    return layout.substitute(
        title=html.escape(title),
        policy=f"default-src 'none'; img-src data:; script-src '{_hash_of(script)}'; style-src '{_hash_of(style)}'",
        style=style,
        script=script,
        trace=base64.b64encode(zlib.compress(packed.encode("ascii"), 9)).decode("ascii"),
    )


def _as_one(scripts: Iterable[str]) -> str:
    """One script, whose names are its own."""
    return '\n"use strict";\n(() => {\n' + "\n".join(scripts) + "})();\n"


def _hash_of(text: str) -> str:
    """As a content security policy names an element by the text between its tags."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
