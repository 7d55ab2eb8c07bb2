"""How much of the time goes into one's own state machine."""
