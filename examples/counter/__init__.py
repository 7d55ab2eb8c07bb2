"""A replicated counter: three processes, and a client that finds the leader."""
