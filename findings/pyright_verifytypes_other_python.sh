#!/usr/bin/env bash
# pyright --verifytypes looks at the package of the Python on PATH, whatever --pythonpath says.
#
# Seen with:  pyright 1.1.414 (from PyPI, with its own Node), CPython 3.11.7, Linux; outcome 1.2.0 and 1.3.0.post0 to look at.
# What it does:  two environments have two versions of a package; one of them is first on PATH. `pyright --pythonpath OTHER file.py`
# takes the other one, as documented. `pyright --pythonpath OTHER --verifytypes outcome` takes the one on PATH, and says so only by
# the directory that it prints.
# Why it surprises:  nothing tells that the option was not heeded. The score is that of another installation: 100 % for a package that is
# not the one asked about, or 0 % ("No py.typed file found") for one that is installed and typed. What does work is PATH.
#
# Output seen:
#   a file, --pythonpath other:       the other one
#   --verifytypes, --pythonpath other: the one on PATH
#   --verifytypes, other on PATH:      the other one
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv first
python3 -m venv other
first/bin/python -m pip --disable-pip-version-check --quiet install pyright[nodejs]==1.1.414 outcome==1.2.0
other/bin/python -m pip --disable-pip-version-check --quiet install outcome==1.3.0.post0
cat > file.py <<'PYTHON'
from outcome import Outcome
x: Outcome[int]  # generic since 1.3.0
PYTHON
export PYRIGHT_PYTHON_IGNORE_WARNINGS=1

which_one() {  # of the directory that --verifytypes prints
    case "$1" in */first/*) echo "the one on PATH" ;; */other/*) echo "the other one" ;; *) echo "none: $1" ;; esac
}
directory() { grep "^Package directory" | tail -1; }

of_file="the one on PATH"
if PATH="$folder/first/bin:$PATH" first/bin/pyright --pythonpath other/bin/python file.py >/dev/null; then
    of_file="the other one"
fi
given=$(which_one "$(PATH="$folder/first/bin:$PATH" first/bin/pyright --pythonpath other/bin/python --verifytypes outcome | directory || true)")
on_path=$(which_one "$(PATH="$folder/other/bin:$PATH" first/bin/pyright --verifytypes outcome | directory || true)")
echo "a file, --pythonpath other:       $of_file"
echo "--verifytypes, --pythonpath other: $given"
echo "--verifytypes, other on PATH:      $on_path"
[ "$of_file" = "the other one" ] && [ "$given" = "the one on PATH" ] && [ "$on_path" = "the other one" ]
