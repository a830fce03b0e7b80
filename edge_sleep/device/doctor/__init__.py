"""What this machine can do: each check is tried here and now, never assumed.

`examination.py` has the order and the groups; each check is a function in the module of its subject.
"""
from __future__ import annotations

from edge_sleep.device.doctor.examination import GROUPS, examine

__all__ = ["GROUPS", "examine"]
