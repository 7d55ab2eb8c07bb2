"""A node in an application that is written for AnyIO."""
