"""What carries: mailboxes, results to wait for, timers and clocks on Trio. Nothing in here knows of Raft."""
