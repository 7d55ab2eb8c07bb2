"""A replicated queue of jobs, which outlives its workers and its leaders."""
