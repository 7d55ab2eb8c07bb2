"""The questions, in the order in which an engineer asks them."""

from benchmarks.questions import batch, commit, failover, idle, restart

QUESTIONS = {module.QUESTION.name: module.QUESTION for module in (commit, batch, failover, restart, idle)}
