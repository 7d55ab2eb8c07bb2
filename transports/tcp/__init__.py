"""The transport over TCP: one connection to each peer that sends, one from each that is read."""
