"""What performs: one running member, from what an application calls to the actors that replicate and apply."""
