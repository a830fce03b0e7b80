"""Lessons drawn by seed: what a person tells in a few sessions, and how a morning is asked about it.

The facts are compositional (who, what, value). A `new` question uses a wording that the seedling's pretraining never
saw; a `seen` one may have been asked there. Both keep the held-out rule against everything the lessons say: no word
4-gram in common, content-word Jaccard at most 0.5.
"""

import random
from dataclasses import dataclass, replace

from edge_sleep.seedling.corpus import COMPANION_NAMES
from edge_sleep.seedling.grammar import ATTRIBUTES
from edge_sleep.seedling.telling import Fact, ask_later, everything_said, lesson_sessions, morning, teach
from edge_sleep.seedling.wording import Said
from edge_sleep.seedling.world import LEFT_OPEN, TEACHABLE, YOU, attributes_of

QUESTIONS_PER_FACT = 6
# What replay rehearses as unknown is neither taught nor asked as a control.
SPACE = tuple((e.key, a) for e in TEACHABLE for a in attributes_of(e) if (e.key, a) not in LEFT_OPEN)


@dataclass(frozen=True)
class Lessons:
    seed: int
    facts: list[Fact]
    sessions: list[dict]
    questions: list[dict]
    controls: list[dict]

    def permuted(self) -> "Lessons":
        """The same lessons with every answer wrong: values move on within their attribute, questions keep the truth."""
        return replace(self, sessions=_sessions(self.seed, _derange(self.seed, self.facts))[0])


def _values(entity: str, attribute: str) -> list[str]:
    return list(COMPANION_NAMES if (entity, attribute) == ("you", "name") else ATTRIBUTES[attribute].values)


def _draw_facts(rng: random.Random, count: int, exclude: frozenset) -> list[Fact]:
    """Facts of distinct value within an attribute, two or three of an attribute where the count allows."""
    free = [f for f in SPACE if f not in exclude]
    rng.shuffle(free)
    pairs = [(YOU.key, "name")] if (YOU.key, "name") in free else []
    limit = max(2, -(-count // len(ATTRIBUTES)) + 1)
    for pair in free:
        if len(pairs) < count and pair not in pairs and sum(p[1] == pair[1] for p in pairs) < limit:
            pairs.append(pair)
    if len(pairs) < count:
        raise ValueError(f"asked for {count} facts, {len(pairs)} are left: exclude fewer than {len(exclude)}")
    facts: list[Fact] = []
    for entity, attribute in pairs:
        used = {v for _, a, v in facts if a == attribute}
        facts.append((entity, attribute, rng.choice([v for v in _values(entity, attribute) if v not in used])))
    return facts


def _derange(seed: int, facts: list[Fact]) -> list[Fact]:
    """Each fact gets another's value of the same attribute, or a value nobody has where it stands alone."""
    rng = random.Random(f"derange {seed}")
    out = []
    for entity, attribute, value in facts:
        same = [v for e, a, v in facts if a == attribute and (e == YOU.key) == (entity == YOU.key)]
        if len(same) > 1:
            out.append((entity, attribute, same[(same.index(value) + 1) % len(same)]))
        else:
            out.append((entity, attribute, rng.choice([v for v in _values(entity, attribute) if v != value])))
    return out


def _sessions(seed: int, facts: list[Fact]) -> tuple[list[dict], Said]:
    """The lessons' transcripts, and everything said in them. Wordings depend on the seed alone, not on the values."""
    rng = random.Random(f"lessons {seed}")
    lessons = [teach(rng, fact, asks=rng.choice([3, 4])) for fact in facts]
    return lesson_sessions(rng, lessons, first=1, start=morning(0)), everything_said(lessons)


def draw_lessons(seed: int, facts: int = 24, exclude: frozenset = frozenset()) -> Lessons:
    """Lessons of `facts` facts, none of them an (entity, attribute) pair in `exclude`."""
    rng = random.Random(f"facts {seed}")
    drawn = _draw_facts(rng, facts, exclude)
    sessions, said = _sessions(seed, drawn)
    questions = []
    for fact in drawn:
        for wording in ("new", "seen"):
            for text in ask_later(rng, fact, said, QUESTIONS_PER_FACT, new=wording == "new"):
                questions.append({"question": text, "expect": [fact[2]], "fact": list(fact), "wording": wording})
    taught = {(e, a) for e, a, _ in drawn}
    untaught = [f for f in SPACE if f not in taught and f not in exclude and f != (YOU.key, "name")]
    controls = []
    for entity, attribute in rng.sample(untaught, min(40, len(untaught))):
        fact = (entity, attribute, rng.choice(_values(entity, attribute)))
        for wording in ("new", "seen"):
            for text in ask_later(rng, fact, said, 1, new=wording == "new"):
                controls.append({"question": text, "expect": [fact[2]], "fact": list(fact), "wording": wording})
    return Lessons(seed, drawn, sessions, questions, controls)
