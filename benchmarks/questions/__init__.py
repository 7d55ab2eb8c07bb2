"""The questions, in the order in which an engineer asks them."""

from benchmarks.questions import commit

QUESTIONS = {module.QUESTION.name: module.QUESTION for module in (commit,)}
