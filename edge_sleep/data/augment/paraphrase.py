"""The model rewords a prompt itself; nothing of it is believed before it was checked.

The model comes as a callable. What it says is kept when the quality gate passes it, numbers, names and
negations are the same, it still asks what was asked, and it tells nothing of the answer.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edge_sleep.data.augment.facts import same_facts
from edge_sleep.data.augment.grammar import is_question
from edge_sleep.data.augment.rewording import Wording
from edge_sleep.data.experience import Exchange, Experience
from edge_sleep.data.quality import History, Settings, assess
from edge_sleep.data.words import content_words, normalised, words

MOVE = "self"
_ASK = ("Say this in other words, with the same meaning. Keep every name and number. Answer with the new wording only.",
        "Write this again as another person would say it. Keep every name and number. Only the new wording, nothing else.",
        "Find another way to put this, short and plain, with the same names and numbers. Give only that.")
_PREFIX = re.compile(r"\A(?:sure|certainly|of course|here(?: is|'s)[^:\n]*|another way[^:\n]*|rewritten|new wording)\b[:,.!]?\s*",
                     re.IGNORECASE)
_KEPT_TOPIC = 0.5                         # share of the prompt's content words that a rewording still holds
_LENGTHS = (0.4, 2.5)                     # words of the rewording as a share of the prompt's


def requests(prompt: str, n: int) -> list[str]:
    """`n` ways to ask the model for another wording of the prompt."""
    return [f"{_ASK[index % len(_ASK)]}\n\n{prompt}" for index in range(n)]


def paraphrases(experiences: Sequence[Experience], n: int, generate: Callable[[list[str]], list[str]], *,
                history: History, quality: Settings, time_left: Callable[[], bool] = lambda: True,
                batch: int = 16) -> dict[str, list[Wording]]:
    """At most `n` wordings by the model itself for each experience, by its id.

    generate: answers to a batch of prompts, in their order. time_left: asked before each batch; False ends it,
    and what was checked until then is returned.
    """
    asked = [(experience, request) for experience in experiences for request in requests(experience.prompt, n)]
    found: dict[str, list[Wording]] = {}
    for start in range(0, len(asked), batch):
        if not time_left():
            break
        part = asked[start:start + batch]
        for (experience, request), said in zip(part, generate([request for _, request in part]), strict=True):
            text = accepted(experience, request, said, history, quality)
            kept = found.setdefault(experience.id, [])
            if text and all(normalised(text) != normalised(other.text) for other in kept):
                kept.append(Wording(text, MOVE))
    return {identity: kept for identity, kept in found.items() if kept}


def accepted(experience: Experience, request: str, said: str, history: History, quality: Settings) -> str | None:
    """The rewording in what the model said, or None where any check fails."""
    prompt = experience.prompt.strip()
    text = _PREFIX.sub("", said.strip()).strip().strip("\"“”").strip()
    if not text or "\n" in text or normalised(text) == normalised(prompt):
        return None
    if assess(Exchange(request, text), history, quality) is not None:
        return None
    least, most = (share * len(words(prompt)) for share in _LENGTHS)
    topic = content_words(prompt)
    told = content_words(experience.response) - topic
    fine = (least <= len(words(text)) <= most and is_question(text) == is_question(prompt) and same_facts(prompt, text)
            and len(topic & content_words(text)) >= _KEPT_TOPIC * len(topic) and not told & content_words(text))
    return text if fine else None
