"""Parts of a leader, one concern each: what it keeps account of. `roles.leader` has what it does about that."""
