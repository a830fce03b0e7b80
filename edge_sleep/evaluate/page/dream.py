"""What the companion dreamed of: the night's patterns, as counting found them (evaluate/patterns.py)."""
from __future__ import annotations

from typing import Any

from edge_sleep.evaluate.page import words
from edge_sleep.evaluate.page.markup import Raw, el, fold, section
from edge_sleep.evaluate.page.morning import Morning

_THEMES, _PAIRS, _MEMORIES = 8, 8, 5


def dream(morning: Morning) -> Raw | None:
    """None where nothing came back often enough to be a pattern."""
    found = morning.patterns
    themes, pairs = found.get("themes") or [], found.get("associations") or []
    if not themes and not pairs:
        return None
    return section("What it dreamed of",
                   el("p", "What came back in tonight\u2019s conversations, found by counting words; no model was asked.",
                      class_="quiet"),
                   _listed("Themes", [_theme(theme) for theme in themes[:_THEMES]]),
                   _listed("Heard together, in several sessions", [_pair(pair) for pair in pairs[:_PAIRS]]),
                   _qualities(found.get("qualities") or []), _memories(found.get("memories") or []))


def _listed(title: str, items: list[Raw]) -> Raw | None:
    return el("div", el("h3", title), el("ul", items)) if items else None


def _theme(theme: dict[str, Any]) -> Raw:
    held, over = words.plural(theme["experiences"], "exchange"), words.plural(theme["sessions"], "session")
    return el("li", el("b", ", ".join(theme["words"]), dir="auto"), f" \u00b7 {held} of {over}")


def _pair(pair: dict[str, Any]) -> Raw:
    return el("li", el("b", " and ".join(pair["words"]), dir="auto"), f" \u00b7 {words.plural(pair['experiences'], 'exchange')}")


def _qualities(rows: list[dict[str, Any]]) -> Raw | None:
    """Only what the interval tells apart."""
    told = [f"{row['name']} {'higher' if row['low'] > 0 else 'lower'} ({row['low']:+.2f} to {row['high']:+.2f})"
            for row in rows if row["low"] > 0 or row["high"] < 0]
    return el("p", f"Answers that held, against those that were set aside: {', '.join(told)}.", class_="quiet") if told else None


def _memories(memories: list[dict[str, Any]]) -> Raw | None:
    return fold("Memories that moved it most", [el("div", el("p", words.cut(memory["prompt"], 240), class_="asked", dir="auto"),
                                                     el("p", words.cut(memory["response"], 600), class_="said", dir="auto"),
                                                     class_="exchange") for memory in memories[:_MEMORIES]]) if memories else None
