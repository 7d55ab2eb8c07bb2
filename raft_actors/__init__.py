"""Raft for Trio programs: a replicated, durable, linearizable log, built from actors."""
