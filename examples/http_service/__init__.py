"""A JSON service over HTTP: Quart or FastAPI on Hypercorn's Trio worker, around a node."""
