#!/usr/bin/env bash
# pytest-trio passes a test that a cancellation has left, though nothing around the test was cancelled.
#
# Seen with:  pytest-trio 0.8.0, trio 0.35.0, pytest 9.2.0
# What it does:  a library catches `trio.Cancelled`, tidies up, and raises it again after its nursery has ended: a fault, as the
# scope that it belonged to is over. Under `trio.run` it comes out as an error. Under pytest-trio the test passes: what stands
# behind that line is not run, and nobody is told.
# Why it surprises:  a test is to fail when its code does not get to its end. The assertions behind the call that was wrong are
# those that would have shown it. We met it in a context manager of ours that lost the real error of its nursery in this way:
# its test was green before it was mended.
#
# Output seen:
#   under trio.run: Cancelled
#   under pytest-trio: 1 passed
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pytest-trio==0.8.0 trio==0.35.0 pytest==9.2.0

cat > "$folder/test_leak.py" <<'PYTHON'
import pytest
import trio


async def lose_the_error():
    kept = None

    async def crash():
        raise ValueError("what really happened")

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            try:
                await trio.sleep_forever()
            except trio.Cancelled as cancelled:
                kept = cancelled
    except BaseException:
        pass
    raise kept


@pytest.mark.trio
async def test_it():
    await lose_the_error()
    raise AssertionError("this line is never reached")
PYTHON
cd "$folder"
plain=$("$folder/venv/bin/python" - <<'PYTHON'
import trio
from test_leak import lose_the_error

try:
    trio.run(lose_the_error)
except BaseException as error:
    print(type(error).__name__)
PYTHON
)
echo "under trio.run: $plain"
tested=$("$folder/venv/bin/python" -m pytest -q -p no:cacheprovider test_leak.py | grep -o '[0-9]* \(passed\|failed\)' || true)
echo "under pytest-trio: $tested"
[ "$plain" = Cancelled ] && [ "$tested" = "1 passed" ]
