"""How it turned out: the experiences of a home of which somebody who can tell said whether they were good.

A label that is an outcome must not be a feature too: reward is computed again without it, or every weight would go to
the dimension that was told the answer.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from edge_sleep.data.buffer import Buffer
from edge_sleep.data.quality import QuarantineReason
from edge_sleep.data.salience import DIMENSIONS, Text, reward

_JUDGED = ("evaluation", "success", "overall_quality")   # all three are the same judge's


class Outcome(NamedTuple):
    session: str
    features: tuple[float, ...]            # the dimensions in their order, each in [0, 1]
    good: bool
    source: str                            # taught, released, corrected, quarantined, evaluation, success


def outcome(status: str, reason: str | None, by_hand: bool, labels: Mapping) -> tuple[bool, str] | None:
    """(good, who said so) of one experience; None where nobody did, or the gate alone did.

    A person's word comes before the track's own label. What two rejected nights set aside is no judgement of one
    experience, and another model's words are none of this companion's.
    """
    if reason in (QuarantineReason.OTHER_MODEL.value, QuarantineReason.REJECTED_TWICE.value):
        return None
    if reason == QuarantineReason.CORRECTED.value:
        return False, "corrected"
    if labels.get("taught"):
        return status == "kept", "taught" if status == "kept" else "quarantined"
    if by_hand:
        return status == "kept", "released" if status == "kept" else "quarantined"
    if status == "quarantined":
        return None
    if labels.get("evaluation") in ("include", "exclude"):
        return labels["evaluation"] == "include", "evaluation"
    if isinstance(labels.get("success"), bool):
        return labels["success"], "success"
    return None


def outcomes(buffer: Buffer) -> list[Outcome]:
    """Every experience with an outcome, in the order they came."""
    found = []
    for session, said, status, reason, by_hand, text, *scores in buffer.rows(
            f"""SELECT session, COALESCE(said, response), status, reason, by_hand, labels, {', '.join(DIMENSIONS)}
                FROM experiences WHERE by_hand OR labels != '{{}}' ORDER BY seq"""):
        labels = json.loads(text)
        judged = outcome(status, reason, bool(by_hand), labels)
        if judged is None:
            continue
        rest = {key: value for key, value in labels.items() if key not in (*_JUDGED, "taught")}
        features = dict(zip(DIMENSIONS, scores, strict=True))
        features["reward"] = reward(Text.of(said), rest, rest.get("followed_by"))
        found.append(Outcome(session, tuple(features[name] for name in DIMENSIONS), *judged))
    return found
