"""Jobs that run at intervals, at one node of a cluster."""
