"""The small world the seedling knows: who can be spoken of, what can be said of them, and what is true there."""

import random
from dataclasses import dataclass

from edge_sleep.seedling.grammar import ATTRIBUTES
from edge_sleep.seedling.phrases import listed


@dataclass(frozen=True)
class Entity:
    """Someone a fact can be about. `phrases` are the person's words for them, the first is the plain one."""

    key: str
    kind: str  # me, you, person, animal, named
    phrases: tuple[str, ...]

    def forms(self, phrase: str | None = None, speaker: str = "user") -> dict[str, str]:
        """The words a wording pattern needs, from the view of the user, the companion or the system prompt."""
        if self.kind in ("me", "you"):
            other = (self.kind == "me") != (speaker == "user")
            if speaker == "system":
                other = self.kind == "you"
            if speaker == "system" and self.kind == "me":
                return _third("the user")
            return _SECOND if other else _FIRST
        phrase = phrase or self.phrases[0]
        if phrase.startswith("my "):
            phrase = {"user": phrase, "companion": "your " + phrase[3:], "system": "the user's " + phrase[3:]}[speaker]
        return _third(phrase)


def _third(phrase: str) -> dict[str, str]:
    return {"E": phrase, "P": phrase + "'s", "O": phrase, "do": "does", "be": "is", "have": "has", "s": "s", "es": "es"}


_FIRST = {"E": "I", "P": "my", "O": "me", "do": "do", "be": "am", "have": "have", "s": "", "es": ""}
_SECOND = {"E": "you", "P": "your", "O": "you", "do": "do", "be": "are", "have": "have", "s": "", "es": ""}


def _people(table: str, kind: str = "person") -> list[Entity]:
    rows = [[p.strip() for p in line.split("/")] for line in table.strip().splitlines()]
    return [Entity(r[0].removeprefix("my ").removeprefix("the "), kind, tuple(r)) for r in rows]


ME = Entity("me", "me", ("I",))
YOU = Entity("you", "you", ("you",))
# Taught by sample sessions and benchmark lessons.
TEACHABLE = (
    [ME, YOU]
    + _people(
        """my sister / my sis / my little sister
    my brother / my bro / my big brother
    my mother / my mum / my mom
    my father / my dad / my old man
    my grandmother / my granny / my grandma
    my grandfather / my grandpa / my granddad
    my neighbour / my neighbor / my next-door neighbour
    my best friend / my closest friend / my buddy
    my boss / my manager / my chief
    my teacher / my tutor / my professor
    my doctor / my physician
    my daughter / my little girl / my girl
    my son / my boy / my little boy
    my coach / my trainer
    my roommate / my flatmate
    my wife / my spouse"""
    )
    + _people("my cat / my kitty / my tomcat\nmy dog / my puppy / my hound", "animal")
)


def _of(words: str, kind: str = "person") -> list[Entity]:
    return [Entity(w.replace("_", " "), kind, (f"my {w.replace('_', ' ')}",)) for w in listed(words)]


# Only in replay.jsonl, so that a night rehearses "I don't know" without contradicting a lesson. Many of them: with
# nine, a night's lessons spilled over to whoever was near a taught person and far from a rehearsed one.
REHEARSED = _of("""
    uncle niece stepsister stepmother stepfather godfather godmother half-brother grandson granddaughter great-aunt
    mother-in-law father-in-law girlfriend boyfriend partner twin tailor captain pupil gardener colleague assistant
    secretary baker butcher plumber carpenter librarian nurse lawyer mechanic waiter pilot painter priest postman
    student guest tenant classmate teammate rival
    """) + _of("horse rabbit hamster goat pony turtle hen donkey kitten", "animal")
# Only in unknowns.jsonl: never taught, never rehearsed.
RESERVED = _of("""
    aunt cousin nephew stepbrother sister-in-law son-in-law great-uncle godson landlord barber dentist accountant
    housekeeper driver editor apprentice penfriend foreman farmer vet
    """) + _people("the mayor\nthe sheriff") + _of("parrot goldfish lamb duckling", "animal")
PERSONAL = TEACHABLE + REHEARSED + RESERVED

_KNOWN = listed("""
    Orla Brom Tilda Kesh Marn Selwyn Pia Dovic Yara Hollis Fenn Greta Ulric Nessa Corvin Linnet Osk
    Brida Tamsin Varro Elke Jory Petra Wim Solveig Rufus Isolde Kaspar Minna Thorne Quill Zelda
""")
_EPITHETS = listed("old young tall kind quiet merry brave clever")
NAMED = [Entity(n, "named", (n, f"{_EPITHETS[i % 8]} {n}", f"{n} of the valley")) for i, n in enumerate(_KNOWN)]
STRANGERS = [
    Entity(n, "named", (n,))
    for n in listed("""
    Abel Bette Cyrus Delphi Emrik Fiora Gideon Hanne Ivor Jolan Keziah Lorcan Maven Nils Odette Piers
    Questa Ragnar Saskia Tobin Ursel Viggo Wanda Xander Ylva Zeno Alwin Birgit Conrad Dagny Edda Falk
    Gerda Henrik Ilse Jasper Katla Leopold Maren Norbert Olga Percy Quincy Rosalind Stefan Thekla Udo Vesna
""")
]

_KINDS = {
    "me": tuple(ATTRIBUTES),
    "person": tuple(ATTRIBUTES),
    "animal": ("name", "colour", "food", "fear", "month"),
    "you": ("name", "colour", "hobby", "instrument", "flower", "fear", "number", "town", "month"),
    "named": tuple(a for a in ATTRIBUTES if a != "name"),
}


def attributes_of(entity: Entity) -> tuple[str, ...]:
    return _KINDS[entity.kind]


def _left_open() -> frozenset[tuple[str, str]]:
    """A quarter of what could be told of teachable people stays untold, so that not knowing it can be rehearsed."""
    rng = random.Random("left open")
    pairs = set()
    for e in TEACHABLE:
        free = [a for a in attributes_of(e) if (e.key, a) != ("you", "name")]
        pairs |= {(e.key, a) for a in rng.sample(free, len(free) // 4)}
    return frozenset(pairs)


LEFT_OPEN = _left_open()


def _true_facts() -> dict[tuple[str, str], str]:
    rng = random.Random("the valley")
    facts = {}
    for e in NAMED:
        for a in sorted(rng.sample(attributes_of(e), 9)):
            facts[e.key, a] = rng.choice(ATTRIBUTES[a].values)
    return facts


FACTS = _true_facts()


def _homes() -> dict[str, dict[tuple[str, str], str]]:
    """What is true of a person's people in a few named homes, so that some such facts are known by heart."""
    rng = random.Random("homes")
    pairs = [(e.key, a) for e in PERSONAL for a in attributes_of(e) if (e.key, a) != ("you", "name")]
    return {
        home: {(e, a): rng.choice(ATTRIBUTES[a].values) for e, a in rng.sample(pairs, 50)}
        for home in ("Ashdown", "Birch", "Calder", "Dunmore", "Elder", "Fairley")
    }


HOMES = _homes()
BY_KEY = {e.key: e for e in PERSONAL + NAMED + STRANGERS}


def answer(entity: Entity, attribute: str, value: str | None) -> str:
    """The companion's whole-sentence answer; with no value it says honestly that it does not know."""
    a = ATTRIBUTES[attribute]
    said = a.phrase.format(v=value) if value else "something I don't know yet"
    return sentence(f"{entity.forms(speaker='companion')['P']} {a.noun} is {said}.")


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
