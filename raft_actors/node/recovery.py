"""What a node begins with: the state of the Raft paper's Figure 2, as its storage gives it back."""

from __future__ import annotations

import random
from collections.abc import Callable

from raft_actors.actors.clock import NodeClock
from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.node.read_requests import first_read_request
from raft_actors.raft import features
from raft_actors.raft.log import Log
from raft_actors.raft.membership import Proven
from raft_actors.raft.persistent_state import Recovered
from raft_actors.raft.state import RaftState
from raft_actors.transports.abc import Transport


def recover(
    node_id: str,
    recovered: Recovered,
    *,
    cluster: ClusterConfig,
    config: NodeConfig,
    clock: NodeClock,
    transport: Transport,
    proven: Callable[[str], Proven],
    must_be_named: bool = False,
) -> RaftState:
    """The state that a node starts with. What its storage knew to be committed is committed still.

    `proven`: see `RaftState`. `must_be_named`: it has lost its files, or what was in them, and votes only once a
    configuration names the store that it has now.
    """
    hard_state = recovered.hard_state
    log = Log(recovered, cache_bytes=config.log_cache_bytes)
    rng, can = random.Random(config.seed), transport.own_features()
    return RaftState(
        node_id=node_id,
        cluster=cluster,
        config=config,
        rng=rng,
        log=log,
        term=hard_state.term,
        voted_for=hard_state.voted_for,
        commit_index=max(log.snapshot_index, recovered.commit_index),
        pre_vote_rounds=rng.getrandbits(32),
        incarnation=recovered.incarnation,
        must_be_named=must_be_named or bool(recovered.renewed),
        stored_configurations=recovered.configurations,
        has_just_started=True,
        monotonic=clock.now,
        boottime=clock.boottime,
        read_requests=first_read_request(rng, clock),
        features=can,
        turned_on=can & features.TURNED_ON,
        features_of=transport.features_of,
        proven=proven,
    )
