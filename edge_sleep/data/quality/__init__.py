"""The quality gate: what must not be learned from, and why."""
from edge_sleep.data.quality.cut import is_cut, told_cut, trim
from edge_sleep.data.quality.finding import COLLAPSES, Finding, QuarantineReason
from edge_sleep.data.quality.gate import Settings, again, assess, collapsed
from edge_sleep.data.quality.history import History, Unseen
from edge_sleep.data.quality.inversion import inverted, only_asks

__all__ = ["COLLAPSES", "Finding", "History", "QuarantineReason", "Settings", "Unseen", "again", "assess", "collapsed",
           "inverted", "is_cut", "only_asks", "told_cut", "trim"]
