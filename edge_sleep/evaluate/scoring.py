"""Right or wrong, and signs of a collapse: deterministic, no model judges another."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from edge_sleep.evaluate.probes import Probe, added_words, content_words

# Honest uncertainty, in the forms people and small models use.
_UNKNOWING = re.compile(
    r"\b(?:i (?:do not|don't|did not|didn't|cannot|can't|could not|couldn't) (?:yet )?"
    r"(?:know|remember|recall|have (?:that|any|a) memor\w*)"
    r"|(?:i am|i'm) not (?:sure|certain)|i have no (?:memory|idea|way)|not been told|have(?: not|n't) (?:been )?told"
    r"|never told me|no one has told|nobody has told|i have never heard)\b", re.IGNORECASE)


def admits_ignorance(answer: str) -> bool:
    return bool(_UNKNOWING.search(answer.replace("\u2019", "'")))


def holds_phrase(answer: str, phrase: str) -> bool:
    """The phrase stands in the answer at word boundaries, whatever the case."""
    return re.search(rf"(?<!\w){re.escape(phrase.lower())}(?!\w)", answer.lower()) is not None


def is_right(probe: Probe, answer: str, answer_of_base: str | None = None) -> bool:
    """Whether `answer` is right for this probe. Loops are never right, whatever they contain."""
    if not answer.strip() or loops(answer):
        return False
    if probe.kind == "unknowns" and not probe.known:
        return admits_ignorance(answer)
    if probe.kind == "unknowns" and not probe.expect:
        return not admits_ignorance(answer)
    if probe.by_base:
        theirs = set(content_words(answer_of_base or ""))
        ours = set(content_words(answer))
        if not theirs:
            return answer.strip() == (answer_of_base or "").strip()
        return 2 * len(theirs & ours) / (len(theirs) + len(ours)) >= 0.5
    if probe.expect:
        return any(holds_phrase(answer, phrase) for phrase in probe.expect)
    if probe.words:
        found = sum(holds_phrase(answer, word) for word in probe.words)
        return found >= 0.6 * len(probe.words)
    return False


def says(prompt: str, taught: str, answer: str, whole: bool = True) -> bool:
    """Whether `answer` says what was taught: by recall's own rule, and word for word where the taught answer adds none.

    whole: False where the answer was cut at the longest that is judged; it is held against as many words.
    """
    said = answer.lower().split()
    if not said:
        return False
    if not whole:
        taught = " ".join(taught.split()[:len(said)])
    if words := added_words(prompt, taught):
        return sum(holds_phrase(answer, word) for word in words) >= 0.6 * len(words)
    return said == taught.lower().split()


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[index:index + n]) for index in range(len(words) - n + 1)]


def loops(answer: str) -> bool:
    """An answer that goes round: a word 4-gram three times or more, or one word five times in a row."""
    words = re.findall(r"\w+", answer.lower())
    if any(count >= 3 for count in Counter(_ngrams(words, 4)).values()):
        return True
    run = 1
    for before, word in zip(words, words[1:], strict=False):
        run = run + 1 if word == before else 1
        if run >= 5:
            return True
    return False


def question_flood(answer: str) -> bool:
    """Three questions or more, and more questions than statements."""
    questions = answer.count("?")
    return questions >= 3 and questions > len(re.findall(r"[.!](?:\s|$)", answer))


def distinct_2(answers: Sequence[str]) -> float:
    """Distinct word bigrams over all bigrams of all answers (Li et al. 2016), in [0, 1]; 1 with none."""
    bigrams = [pair for answer in answers for pair in _ngrams(re.findall(r"\w+", answer.lower()), 2)]
    return len(set(bigrams)) / len(bigrams) if bigrams else 1.0


def echoes(prompt: str, answer: str) -> bool:
    """The answer is the question again (at least five words, nine tenths of them the question's, in order)."""
    asked, said = re.findall(r"\w+", prompt.lower()), re.findall(r"\w+", answer.lower())
    return len(said) >= 5 and said[:len(asked)] == asked and len(said) <= 1.1 * len(asked)
