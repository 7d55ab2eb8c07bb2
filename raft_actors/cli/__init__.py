"""The command line: run a node of the key-value service, look into its file, watch a cluster at work."""
