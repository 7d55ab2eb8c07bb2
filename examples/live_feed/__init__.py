"""Applied commands, with their results, to any number of browsers over WebSockets."""
