"""Small programs that use raft_actors as applications do. Each has a README; tests run them."""
