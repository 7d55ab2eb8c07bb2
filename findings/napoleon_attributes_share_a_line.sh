#!/usr/bin/env bash
# Sphinx' napoleon takes the first of two attributes that share a line for the type of the second.
#
# Seen with:  Sphinx 9.0.4 (sphinx.ext.napoleon, from PyPI), CPython 3.11.7, Linux.
# What it does:  `x, y: text` under `Args:` documents two parameters, x and y. The same line under `Attributes:` documents, with
# napoleon_use_ivar = True, one variable `y` of the type `x,`; and by default one attribute whose name is `x, y`.
# Why it surprises:  the two sections are written alike, and under Args napoleon takes several names a line. Under Attributes they
# vanish from the reference, or one of them does, without a warning.
#
# Output seen:
#   Args:                           * **x** -- where to. * **y** -- where to.
#   Attributes, napoleon_use_ivar:  **y** (*x**,*) -- where it is.
#   Attributes, by default:         x, y where it is.
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/python -m pip --disable-pip-version-check --quiet install sphinx==9.0.4
cat > shapes.py <<'PYTHON'
class Point:
    """A point.

    Attributes:
        x, y: where it is.
    """


def move(x, y):
    """Move there.

    Args:
        x, y: where to.
    """
PYTHON

documented() {  # documented SETTING KIND NAME: what the page says of its parameters or attributes, in one line
    mkdir -p source
    printf 'import sys\nsys.path.insert(0, "%s")\nextensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]\n%s\n' "$folder" "$1" \
        > source/conf.py
    printf '.. auto%s:: shapes.%s\n' "$2" "$3" > source/index.rst
    venv/bin/python -m sphinx --quiet --fail-on-warning --fresh-env --builder text source out
    grep -v "^class\|^shapes\|A point\|Move there\|Parameters:\|Variables:" out/index.txt | xargs echo
}

set -f  # a star is a star
of_args=$(documented "" function move)
of_ivar=$(documented "napoleon_use_ivar = True" class Point)
by_default=$(documented "" class Point)
echo "Args:                           $of_args"
echo "Attributes, napoleon_use_ivar:  $of_ivar"
echo "Attributes, by default:         $by_default"
[ "$of_args" = "* **x** -- where to. * **y** -- where to." ] || exit 2
[ "$of_ivar" = "**y** (*x**,*) -- where it is." ] && [ "$by_default" = "x, y where it is." ]
