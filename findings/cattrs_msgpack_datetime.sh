#!/usr/bin/env bash
# cattrs' msgpack preset changes datetimes.
#
# Seen with:  cattrs 26.2.1, msgpack 1.2.4
# What it does:  cattrs.preconf.msgpack writes a datetime as a float, the seconds since 1970, and reads it back in UTC. So
#   - a naive datetime comes back as an aware one, which is unequal to the first and can't be compared with others like it
#     (TypeError);
#   - a float has 53 bits: from the year 2242 on (2**33 seconds, steps of 2 microseconds) microseconds are lost.
# Why it surprises:  the type says `datetime`, both directions are the converter's own, no error is raised, and the preset for
# JSON of the same library gives both values back unchanged. The docstring says "serialized as timestamp floats", from which
# one can work it out. A store or a message that passes through it holds another value than was handed in.
#
# Output seen:
#   naive: 2026-03-01T12:30:00 -> 2026-03-01T12:30:00+00:00, equal: False
#   after 2242: 2600-01-01T00:00:00.123457+00:00 -> 2600-01-01T00:00:00.123459+00:00, equal: False
#   today: 2026-03-01T12:30:00.123457+00:00 -> 2026-03-01T12:30:00.123457+00:00, equal: True
#   the JSON preset: equal: True True
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check cattrs==26.2.1 msgpack==1.2.4

"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import UTC, datetime

from cattrs.preconf import json, msgpack

packing, text = msgpack.make_converter(), json.make_converter()


def came_back(name, value):
    result = packing.loads(packing.dumps(value), datetime)
    print(f"{name}: {value.isoformat()} -> {result.isoformat()}, equal: {result == value}")
    return result


naive = datetime(2026, 3, 1, 12, 30)
far = datetime(2600, 1, 1, 0, 0, 0, 123457, tzinfo=UTC)
today = datetime(2026, 3, 1, 12, 30, 0, 123457, tzinfo=UTC)
became_aware = came_back("naive", naive).tzinfo is not None
drifted = came_back("after 2242", far) != far
exact_today = came_back("today", today) == today
by_json = [text.loads(text.dumps(value), datetime) == value for value in (naive, far)]
print("the JSON preset: equal:", *by_json)
sys.exit(not (became_aware and drifted and exact_today and all(by_json)))
PYTHON
