#!/usr/bin/env bash
# msgpack's Packer with a buffer of its own forgets all that it holds when one value can't be packed.
#
# Seen with:  msgpack 1.2.4 (the C one and the fallback in Python)
# What it does:  Packer(autoreset=False) collects values in its buffer until `reset()`. If one of them can't be packed (a type
#   that it does not know, an integer of more than 64 bits), pack() raises, and everything that was packed before is gone, too:
#   bytes() is empty from then on, and starts with whatever is packed next.
# Why it surprises:  the documentation says that the buffer is emptied by reset(). Who catches the error and goes on with
#   the next record, or has packed an array's header and then its items, writes a file or a frame that lacks its beginning, and
#   nothing raises: what is left can be read. A list that refuses an item, or a file, keeps what it has.
#   What helps: pack each record by a Packer with autoreset=True (its default), and join what comes back.
#
# Output seen:
#   C: two records take 8 bytes; after TypeError: 0 bytes; after the next record it holds [{'n': 3}]
#   C: two records take 8 bytes; after OverflowError: 0 bytes; after the next record it holds [{'n': 3}]
#   Python: two records take 8 bytes; after TypeError: 0 bytes; after the next record it holds [{'n': 3}]
#   Python: two records take 8 bytes; after OverflowError: 0 bytes; after the next record it holds [{'n': 3}]
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check msgpack==1.2.4

"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import msgpack
import msgpack.fallback

forgets = []
for name, packer_type in (("C", msgpack.Packer), ("Python", msgpack.fallback.Packer)):
    for value in (object(), 2**64):
        packer = packer_type(autoreset=False)
        packer.pack({"n": 1})
        packer.pack({"k": 2})
        before = len(packer.bytes())
        try:
            packer.pack({"n": value})
        except (TypeError, OverflowError) as error:
            refused = type(error).__name__
        after = len(packer.bytes())
        packer.pack({"n": 3})
        held = list(msgpack.Unpacker(io.BytesIO(packer.bytes())))
        print(f"{name}: two records take {before} bytes; after {refused}: {after} bytes; after the next record it holds {held}")
        forgets.append(after == 0 and held == [{"n": 3}])
sys.exit(not all(forgets))
PYTHON
