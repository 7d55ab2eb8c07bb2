"""A storage in one SQLite file, a commit marker beside it and segments for large batches (see docs/storage.md)."""
