"""What tests ask of an open diagram."""

from __future__ import annotations

import json
import struct
import zlib

from tests.diagram.browser import Page
from tests.diagram.synthetic import Event


def serial(trace: list[Event], kind: str, **fields: object) -> int:
    """The number of the first event like this."""
    return int(next(event["n"] for event in trace if event["kind"] == kind and fields.items() <= event.items()))


def shown(page: Page) -> tuple[float, float]:
    start, end = page.evaluate("[diagram.view.start, diagram.view.end]")
    return start, end


def selected(page: Page) -> int | None:
    """The serial number of the selected event."""
    found: int | None = page.evaluate("diagram.selected < 0 ? null : diagram.trace.serial[diagram.selected]")
    return found


def approach(page: Page, number: int, span_ms: float = 40) -> None:
    """Show the surroundings of an event."""
    page.evaluate(f"diagram.view.centre(diagram.trace.time[diagram.trace.serial.indexOf({number})], {span_ms * 1000})")
    page.settle()


def place_of(page: Page, number: int) -> tuple[float, float]:
    """Where an event stands in the window."""
    x, y = page.evaluate(f"""(() => {{
        const box = diagram.elements.picture.getBoundingClientRect();
        const event = diagram.trace.serial.indexOf({number});
        const place = diagram.picture.eventPlace(event);
        return [box.left + place.x, box.top + place.y];
    }})()""")
    return x, y


def middle(page: Page) -> tuple[float, float]:
    x, y = page.evaluate("""(() => {
        const box = diagram.elements.picture.getBoundingClientRect();
        return [box.left + diagram.view.left + diagram.view.width / 2, box.top + box.height / 2];
    })()""")
    return x, y


def colours(page: Page, what: str = "picture") -> dict[str, int]:
    """How many pixels of each colour a canvas has."""
    found: dict[str, int] = page.evaluate(f"""(() => {{
        const canvas = diagram.elements.{what};
        const data = new Uint32Array(
          canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        const counts = new Map();
        for (const colour of data) counts.set(colour, (counts.get(colour) ?? 0) + 1);
        const name = (colour) => "#" + [0, 8, 16].map((shift) =>
          ((colour >>> shift) & 255).toString(16).padStart(2, "0")).join("");
        return Object.fromEntries([...counts].map(([colour, count]) => [name(colour), count]));
    }})()""")
    return found


def has(page: Page, name: str) -> int:
    """How many pixels have a colour of the style sheet."""
    return colours(page).get(page.evaluate(f"diagram.palette.get({json.dumps(name)})"), 0)


def rows_of(screenshot: bytes) -> int:
    """How many different colours' worth of bytes a PNG's data holds: above a few for anything but an empty page."""
    data, position = b"", 8
    while position < len(screenshot):
        (length,) = struct.unpack(">I", screenshot[position : position + 4])
        if screenshot[position + 4 : position + 8] == b"IDAT":
            data += screenshot[position + 8 : position + 8 + length]
        position += length + 12
    return len(set(zlib.decompress(data)))
