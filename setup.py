"""Lists the packages; everything else about the build stands in pyproject.toml.

Static discovery can't serve this layout: it would find ``transports`` and ``persistence`` inside
``raft_actors`` only through the symlinks there. Those are for tools that read the source tree; an sdist
has none, nor has a checkout on Windows, and both install all the same.
"""

from setuptools import find_packages, setup

OUTLYING = ("transports", "persistence")


def list_packages() -> list[str]:
    """Return the installed name of every package, found with or without the symlinks."""
    core = find_packages(include=["raft_actors", "raft_actors.*"])
    patterns = [pattern for folder in OUTLYING for pattern in (folder, f"{folder}.*")]
    outlying = [f"raft_actors.{name}" for name in find_packages(include=patterns)]
    return sorted({*core, *outlying})


setup(packages=list_packages(), package_dir={f"raft_actors.{folder}": folder for folder in OUTLYING})
