"""The questions, in the order in which an engineer asks them."""

from benchmarks.questions import (
    batch,
    catchup,
    commit,
    cpu,
    failover,
    flood,
    growth,
    hops,
    idle,
    joining,
    laggard,
    overload,
    reads,
    redis,
    replace,
    restart,
    rolling,
    sessions,
    tls,
    transfer,
)

_MODULES = (
    *(commit, batch, sessions, reads, overload, laggard, failover, transfer, joining, replace, rolling),
    *(restart, idle, cpu, hops, catchup, growth, redis, tls, flood),
)
QUESTIONS = {module.QUESTION.name: module.QUESTION for module in _MODULES}
