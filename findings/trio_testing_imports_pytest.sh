#!/usr/bin/env bash
# `import trio.testing` imports pytest wherever it is installed.
#
# Seen with:  trio 0.35.0, pytest 9.2.0
# What it does:  for `RaisesGroup`, `trio.testing` takes pytest's `ExceptionInfo`, so that whoever wants nothing but a
# `MockClock` or `wait_all_tasks_blocked` gets pytest's modules, too: dozens of them, for each process that does so.
# Why it surprises:  a simulator is no test run. Ours runs in many short processes, and each began with pytest; what is imported,
# and how long it takes, depends on whether a tool for developers happens to lie in the same environment. We take Trio's clock
# interface (`trio.abc.Clock`) and a clock of our own there.
#
# Output seen:
#   without pytest: no module of pytest
#   with pytest: modules of pytest
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check trio==0.35.0

count() {
    "$python" - <<'PYTHON'
import sys

import trio.testing

found = [name for name in sys.modules if name.partition(".")[0] in ("pytest", "_pytest")]
print("modules of pytest" if len(found) > 10 else "no module of pytest" if not found else f"only {found}")
PYTHON
}
without=$(count)
echo "without pytest: $without"
"$python" -m pip install --quiet --disable-pip-version-check pytest==9.2.0
with=$(count)
echo "with pytest: $with"
[ "$without" = "no module of pytest" ] && [ "$with" = "modules of pytest" ]
