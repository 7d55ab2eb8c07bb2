"""How nodes reach each other: the transport contract and its implementations.

Lives in ``transports/`` at the repository root, and is imported as ``raft_actors.transports``.
"""

if __name__ == "transports":
    # From the repository root (or with it on sys.path) this folder would also import under its bare
    # name: a second copy of every class, whose isinstance checks fail against the first.
    raise ImportError("import raft_actors.transports instead of transports: run 'pip install -e .' first")
