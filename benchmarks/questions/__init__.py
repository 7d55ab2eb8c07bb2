"""The questions, in the order in which an engineer asks them."""

from benchmarks.questions import batch, catchup, commit, cpu, failover, growth, idle, redis, replace, restart, tls

_MODULES = (commit, batch, failover, replace, restart, idle, cpu, catchup, growth, redis, tls)
QUESTIONS = {module.QUESTION.name: module.QUESTION for module in _MODULES}
