"""A JSON service over HTTP: Quart on Hypercorn's Trio worker, around a node."""
