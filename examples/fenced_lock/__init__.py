"""A replicated lock with fencing tokens, and a resource that checks them."""
