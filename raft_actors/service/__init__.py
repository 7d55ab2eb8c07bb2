"""A durable, replicated key-value service that speaks the Redis protocol, built on `raft_actors` as any user would."""
