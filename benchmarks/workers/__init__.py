"""The processes that are measured: one module per engine, all of which understand the same commands (see `wire`)."""
