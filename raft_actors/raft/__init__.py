"""What decides: Raft as plain functions and values, from an input and the time to effects."""
