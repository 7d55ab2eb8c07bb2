"""Addresses, listening and buffered streams: what any TCP service needs, and nothing of Raft."""
