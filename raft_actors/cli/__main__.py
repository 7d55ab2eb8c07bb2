"""`python -m raft_actors.cli` is `raft-actors`."""

import sys

from raft_actors.cli.main import main

sys.exit(main())
