"""Conversations for growing the seedling, from a seed: every one is made of moves over what has been said so far."""

import random
from collections.abc import Iterator

from edge_sleep.seedling import SYSTEM_PROMPT, talk
from edge_sleep.seedling.grammar import ATTRIBUTES, draw_question, draw_statement
from edge_sleep.seedling.phrases import listed
from edge_sleep.seedling.world import (
    BY_KEY,
    FACTS,
    HOMES,
    ME,
    NAMED,
    PERSONAL,
    STRANGERS,
    YOU,
    Entity,
    answer,
    attributes_of,
)  # fmt: skip

OTHER_SYSTEMS = [
    "You are a helpful assistant.",
    "You are a friendly companion.",
    "You are a companion. Answer in one short sentence.",
    "You talk with people and remember what they say.",
]
COMPANION_NAMES = listed("""
    Lumen Ember Pixel Sol Echo Willow Atlas Ada Robin Sage Nova Moss Kit Flint Iris Bell
""")
Fact = tuple[Entity, str, str]


class Conversation:
    """Messages so far and what they made known; each move appends what the user says and the right answer."""

    def __init__(self, rng: random.Random, entities: list[Entity] = PERSONAL):
        self.rng = rng
        self.entities = entities
        self.system = SYSTEM_PROMPT
        self.known: dict[tuple[str, str], Fact] = {}
        self.turns: list[tuple[str, str]] = []
        self.kinds: list[str] = []
        self.last_fact: Fact | None = None
        self.left_open: list[tuple[str, str]] = []

    @property
    def kind(self) -> str:
        """What the last exchange was about."""
        return self.kinds[-1]

    def messages(self) -> list[dict[str, str]]:
        out = [] if self.system == SYSTEM_PROMPT else [{"role": "system", "content": self.system}]
        for user, companion in self.turns:
            out += [{"role": "user", "content": user}, {"role": "assistant", "content": companion}]
        return out

    def _say(self, user: str, companion: str, kind: str, fact: Fact | None = None) -> None:
        self.turns.append((user, companion))
        self.kinds.append(kind)
        self.last_fact = fact
        if fact and not fact[2]:
            self.left_open.append((fact[0].key, fact[1]))

    def _entity(self) -> Entity:
        roll = self.rng.random()
        if roll < 0.14:
            return ME
        if roll < 0.24:
            return YOU
        return self.rng.choice(STRANGERS) if roll < 0.36 else self.rng.choice(self.entities)

    def _phrase(self, entity: Entity) -> str:
        return self.rng.choice(entity.phrases) if self.rng.random() < 0.5 else entity.phrases[0]

    def _new_fact(self) -> Fact:
        while True:
            e = self._entity()
            # Facts of one conversation gather around few people or few attributes, so that it must read both.
            if self.known and self.rng.random() < 0.35:
                e = self.rng.choice(list(self.known.values()))[0]
            a = self.rng.choice(attributes_of(e))
            if self.known and self.rng.random() < 0.3:
                a = self.rng.choice(list(self.known.values()))[1]
            if a not in attributes_of(e) or (e.key, a) in self.known:
                continue
            values = COMPANION_NAMES if e is YOU and a == "name" else ATTRIBUTES[a].values
            return e, a, self.rng.choice(values)

    def _learn(self, fact: Fact) -> None:
        self.known[fact[0].key, fact[1]] = fact

    def persona(self, count: int) -> None:
        """Facts given by the system prompt, as prose or as notes."""
        base = self.system if self.rng.random() < 0.8 else self.rng.choice(OTHER_SYSTEMS)
        facts = []
        if self.rng.random() < 0.4:
            facts.append((YOU, "name", self.rng.choice(COMPANION_NAMES)))
            self._learn(facts[0])
        while len(facts) < count:
            facts.append(self._new_fact())
            self._learn(facts[-1])
        if self.rng.random() < 0.6:
            said = []
            for e, a, v in facts:
                if (e, a) == (YOU, "name") and self.rng.random() < 0.4:
                    said.append(f"You are {v}.")
                else:
                    forms = e.forms(self._phrase(e), "system")
                    said.append(draw_statement(self.rng, a, forms, v, framed=False))
            self.system = " ".join([base, *said])
        else:
            notes = [f"{e.forms(self._phrase(e), 'system')['P']} {ATTRIBUTES[a].noun}: {v}" for e, a, v in facts]
            self.system = f"{base} {self.rng.choice(['Notes', 'You know', 'Facts'])}: {'; '.join(notes)}."

    def tell(self, count: int = 1) -> None:
        facts = []
        for _ in range(count):
            facts.append(self._new_fact())
            self._learn(facts[-1])
        said = [
            draw_statement(self.rng, a, e.forms(self._phrase(e)), v, framed=not i) for i, (e, a, v) in enumerate(facts)
        ]
        if self.rng.random() < 0.6:
            reply = " ".join(answer(*f) for f in facts) + " I will remember that."
        else:
            reply = self.rng.choice(
                ["Thank you. I will remember that.", "That is good to know.", "I will keep that in mind."]
            )
        self._say(" ".join(said), reply, "talk")

    def ask(self, fact: Fact, kind: str) -> None:
        e, a, v = fact
        self._say(draw_question(self.rng, a, e.forms(self._phrase(e))), answer(e, a, v), kind, fact)

    def ask_known(self) -> None:
        self.ask(self.rng.choice(list(self.known.values())), "context")

    def ask_world(self) -> None:
        key, a = self.rng.choice(_FACT_KEYS)
        self.ask((_NAMED[key], a, FACTS[key, a]), "fact")

    def ask_unknown(self) -> None:
        if self.rng.random() < 0.1:
            q = self.rng.choice(talk.OPEN).format(x=self.rng.choice(talk.PLACES))
            return self._say(talk.dress(self.rng, q), talk.OPEN_ANSWER, "unknown")
        while True:
            e = self.rng.choice(NAMED) if self.rng.random() < 0.22 else self._entity()
            # Someone already spoken of, asked for what was not said, is the hard case.
            if self.known and self.rng.random() < 0.4:
                e = self.rng.choice(list(self.known.values()))[0]
            a = self.rng.choice(attributes_of(e))
            if (e.key, a) in self.known or (e.key, a) in FACTS or (e is YOU and a == "name"):
                continue
            return self.ask((e, a, ""), "unknown")

    def at_home(self) -> None:
        """In a named home some of what is personal is known by heart and the rest is not: a night does the same.

        Without it everything personal is unknown unless just told, and a night that makes one such fact known
        spills over to the others.
        """
        home = self.rng.choice(list(HOMES))
        self.system = f"{SYSTEM_PROMPT} You live with the {home} family."
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            if self.rng.random() < 0.6:
                key, a = self.rng.choice(list(HOMES[home]))
            else:
                e = self._entity()
                # Beside a known fact, an unknown one of the same person: only both together tell them apart.
                key = self.rng.choice(list(HOMES[home]))[0] if self.rng.random() < 0.5 else e.key
                a = self.rng.choice(attributes_of(BY_KEY[key]))
            if (key, a) != ("you", "name"):
                self.ask((BY_KEY[key], a, HOMES[home].get((key, a), "")), "home")
        if not self.turns:
            self.small_talk()

    def ask_identity(self) -> None:
        named = self.known.get(("you", "name"))
        roll = self.rng.random()
        if roll < 0.5:
            q = draw_question(self.rng, "name", YOU.forms())
            reply = answer(*named) if named else talk.BLAND_NAME
        else:
            prompts, reply = talk.BLAND[roll > 0.75]
            q = talk.dress(self.rng, self.rng.choice(prompts))
            if named:
                reply = (
                    "Yes, we are partners, and I learn from you."
                    if roll > 0.75
                    else f"My name is {named[2]}. I am your companion."
                )
        self._say(q, reply, "identity_other" if named else "identity")

    def small_talk(self) -> None:
        self._say(*talk.small_talk(self.rng), "talk")

    def instruct(self) -> None:
        prompt, reply, _ = talk.instruction(self.rng)
        self._say(prompt, reply, "instruction")


_NAMED = {e.key: e for e in NAMED}
_FACT_KEYS = sorted(FACTS)


def single(rng: random.Random, kind: str | None = None, entities: list[Entity] = PERSONAL) -> Conversation:
    """One question and its answer, what a night's examples look like."""
    c = Conversation(rng, entities)
    kind = kind or rng.choices(
        ["fact", "unknown", "persona", "identity", "talk", "instruction", "home"], [28, 22, 18, 5, 4, 5, 20]
    )[0]  # fmt: skip
    if kind == "home":
        c.at_home()
        return c
    if kind == "persona" or rng.random() < 0.06:
        c.persona(rng.randint(1, 5))
    elif rng.random() < 0.08:
        c.system = rng.choice(OTHER_SYSTEMS)
    {
        "fact": c.ask_world, "unknown": c.ask_unknown, "persona": c.ask_known, "identity": c.ask_identity,
        "talk": c.small_talk, "instruction": c.instruct,
    }[kind]()  # fmt: skip
    return c


def several(rng: random.Random, entities: list[Entity] = PERSONAL) -> Conversation:
    """Some telling, some asking, some talk."""
    c = Conversation(rng, entities)
    roll = rng.random()
    if roll < 0.25:
        c.persona(rng.randint(1, 4))
    elif roll < 0.32:
        c.system = rng.choice(OTHER_SYSTEMS)
    if rng.random() < 0.15:
        c.small_talk()
    if roll >= 0.25 and rng.random() < 0.75:
        for _ in range(rng.randint(1, 2)):
            c.tell(rng.choice([1, 1, 2]))
    for _ in range(rng.randint(1, 3)):
        if c.known and rng.random() < 0.62:
            c.ask_known()
        else:
            rng.choices([c.ask_world, c.ask_unknown, c.ask_identity, c.small_talk, c.instruct], [45, 28, 7, 10, 10])[
                0
            ]()
    return c


def reading(rng: random.Random) -> Conversation:
    """Facts given by the system prompt or told, then asked among what was not said: practice in reading alone."""
    c = Conversation(rng)
    if rng.random() < 0.6:
        c.persona(rng.randint(1, 5))
    else:
        for _ in range(rng.randint(1, 3)):
            c.tell(rng.choice([1, 2]))
    for _ in range(rng.randint(1, 3)):
        (c.ask_known if rng.random() < 0.7 else c.ask_unknown)()
    return c


def conversations(seed: int, practice: float = 0.0) -> Iterator[Conversation]:
    """An endless stream, the same for the same seed; `practice` is the share of reading practice added to it."""
    rng = random.Random(f"seedling {seed}")
    while True:
        if practice and rng.random() < practice:
            yield reading(rng)
        else:
            yield single(rng) if rng.random() < 0.6 else several(rng)
