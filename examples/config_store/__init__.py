"""A replicated configuration store, whose changes can be watched at any node."""
