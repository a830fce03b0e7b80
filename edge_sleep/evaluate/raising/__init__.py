"""Raising metrics: what a companion's answers show of the qualities it is raised for. They inform; they outvote no veto.

Repetition cannot raise a score. Answers with the same words are one answer; a phrase counts once in it, and not at all
where it is denied; text shared with other answers counts once among them. A score (D4, D5, D9, identity) is what the
different answers earn over the number of prompts they were given to; a rate is over different answers, and null with the
reason `collapsed` where less than half of the set is sound and its own (`spread.Spread.own`). Half: of SAGE's sessions the
collapsed have 0.13 to 0.31, but for one of three answers (0.81), whose text is another corpus's and not its own repeated;
the healthy have 0.63 to 1.00 (benchmarks/raising.py).

All are deterministic, in [0, 1], and read English: an answer in another language is left out, by D4 alone it is judged.
"""
from edge_sleep.evaluate.raising.metrics import VERSION
from edge_sleep.evaluate.raising.reading import Answer
from edge_sleep.evaluate.raising.score import Metric, compare, score

__all__ = ["VERSION", "Answer", "Metric", "compare", "score"]
