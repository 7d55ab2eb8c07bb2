"""A replicated counter: three processes, and a client whose retries count once."""
