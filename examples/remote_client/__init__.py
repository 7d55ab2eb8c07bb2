"""A program without a node that proposes and reads by a `RaftClient`."""
