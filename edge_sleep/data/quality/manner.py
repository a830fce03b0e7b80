"""The educational default: a service's disclaimers and stock phrases in place of the companion's own words."""
from __future__ import annotations

from edge_sleep.data.experience import Exchange
from edge_sleep.data.phrases import found
from edge_sleep.data.quality.finding import Finding, QuarantineReason
from edge_sleep.data.words import words


def educational_default(exchange: Exchange, points: int) -> Finding | None:
    """Phrases of resources/phrases.yaml: a disclaimer weighs 2, a service's stock phrase 1; refused from `points` on.

    Asked what it is ("Are you an AI?"), the companion may say so.
    """
    tokens = words(exchange.response)
    disclaimers, stock = found("disclaimer", tokens), found("service", tokens)
    if 2 * len(disclaimers) + len(stock) < points or found("about_its_kind", words(exchange.prompt)):
        return None
    said = ", ".join(f'"{" ".join(phrase)}"' for phrase in sorted(disclaimers) + sorted(stock))
    return Finding(QuarantineReason.EDUCATIONAL_DEFAULT,
                   f"{2 * len(disclaimers) + len(stock)} points, {points} are enough: {said}")
