"""A client of a cluster, for processes that are no members of it."""
