"""The questions of a night: what was taught, what must not be lost, what nobody could know.

Two disjoint sets: `select` may be read at any time, `confirm` once a night, by the gate. Both are drawn
anew each night from larger pools (the night's id is the salt), so no probe is ever trained towards.
"""
from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_sleep.config import read_yaml
from edge_sleep.data.experience import Experience, Message
from edge_sleep.data.words import near
from edge_sleep.errors import ConfigError, IntegrityError

Kind = Literal["recall", "retention", "unknowns", "own", "identity", "standing", "baits", "clarifying"]
RESOURCES = Path(__file__).resolve().parent.parent / "resources"

SELECT_SHARE = 0.25                    # of the probes that are asked

# Words too common to show that something was remembered.
STOPWORDS = frozenset("""a about after all am an and any are as at be been but by can could did do does for from had
has have he her here hers him his how i if in into is it its just let like me mine my no not of on one or our ours
she so some than that the their them then there these they this those to too up us was we were what when where which
who why will with would yes you your yours called name named thing things very really also""".split())


@dataclass(frozen=True)
class Probe:
    """One question. expect: any of these phrases is right; need: this share of these words is right."""

    id: str
    kind: Kind
    messages: tuple[Message, ...]
    expect: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    known: bool = True                 # False where "I don't know" is the right answer
    by_base: bool = False              # right means: as the base itself answered
    origin: str = ""                   # where it came from: experience id, file and line
    taught: tuple[str, ...] = ()       # own: the answers that were taught to this very question

    @property
    def answerable(self) -> bool | None:
        """Whether anybody could know; None for kinds that do not say."""
        return self.known if self.kind in ("unknowns", "baits") else None


def content_words(text: str) -> list[str]:
    """Lower-case words that carry meaning, in order, each once."""
    seen: dict[str, None] = {}
    for word in re.findall(r"[\w'-]+", text.lower()):
        word = word.removesuffix("'s").strip("'-")
        if word and word not in STOPWORDS:
            seen.setdefault(word)
    return list(seen)


def added_words(prompt: str, response: str) -> tuple[str, ...]:
    """What an answer adds to its question: its six longest content words that are not the question's."""
    asked = set(content_words(prompt))
    return tuple(sorted((word for word in content_words(response) if word not in asked),
                        key=lambda word: (-len(word), word))[:6])


def probe_id(kind: str, messages: Iterable[Message]) -> str:
    text = json.dumps([kind, [[message["role"], message["content"]] for message in messages]], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_experiences(experiences: Sequence[Experience], reword, per_experience: int = 1) -> list[Probe]:
    """Recall probes for any home: tonight's questions in other words than any that is trained.

    reword(prompt, n): wordings reserved for judging. An answer is right when it holds at least 60 % of the
    words that the taught answer adds to its question (its six longest), so a long answer need not be
    recited. Experiences whose answers add nothing to ask for are left out, and so are questions that were
    taught with different answers: nothing right could be asked.
    """
    answers: dict[str, set[tuple[str, ...]]] = {}
    candidates = []
    for experience in experiences:
        words = added_words(experience.prompt, experience.response)
        answers.setdefault(" ".join(experience.prompt.lower().split()), set()).add(words)
        if words:
            candidates.append((experience, words))
    probes = []
    for experience, words in candidates:
        if len(answers[" ".join(experience.prompt.lower().split())]) > 1:
            continue
        for question in reword(experience.prompt, per_experience):
            messages: tuple[Message, ...] = ({"role": "user", "content": question},)
            probes.append(Probe(probe_id("recall", messages), "recall", messages, words=words, origin=experience.id))
    return probes


def of_own(experiences: Sequence[Experience]) -> list[Probe]:
    """Tonight's questions as they were asked: nothing is right or wrong here, only sound or collapsed.

    A night of loops can leave everything else as it was; it shows in the answers to its own questions. So does a
    night that teaches what the incumbent says already.
    """
    taught: dict[str, list[str]] = {}
    for experience in experiences:
        taught.setdefault(experience.prompt.strip(), []).append(experience.response)
    conversations: list[tuple[tuple[Message, ...], list[str]]] = [
        (({"role": "user", "content": prompt},), answers) for prompt, answers in taught.items()]
    return [Probe(probe_id("own", messages), "own", messages, taught=tuple(answers)) for messages, answers in conversations]


def of_user(files: Iterable[Path]) -> list[Probe]:
    """Probes from the user's YAML: {probes: [{question, expect: [..], kind: recall}]}; ConfigError lists what is off."""
    probes, problems = [], []
    for file in files:
        document = read_yaml(file)
        entries = document.get("probes") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ConfigError(["expected `probes:` with a list of {question, expect}"], str(file))
        for number, entry in enumerate(entries, 1):
            question = entry.get("question") if isinstance(entry, dict) else None
            expect = entry.get("expect") if isinstance(entry, dict) else None
            expect = [expect] if isinstance(expect, (str, int, float)) else expect
            if not isinstance(question, str) or not expect or not isinstance(expect, list):
                problems.append(f"{file}: probe {number} needs a question and what its answer must hold (expect)")
                continue
            kind = entry.get("kind", "recall")
            if kind not in ("recall", "retention"):
                problems.append(f"{file}: probe {number}: kind {kind!r} is neither recall nor retention")
                continue
            messages: tuple[Message, ...] = ({"role": "user", "content": question},)
            probes.append(Probe(probe_id(kind, messages), kind, messages, expect=tuple(map(str, expect)),
                                origin=f"{file.name}:{number}"))
    if problems:
        raise ConfigError(problems, "gate.probes")
    return probes


def pool(kind: Literal["retention", "unknowns"], base_folder: Path) -> list[Probe]:
    """The pool that travels with the base (`edge_sleep/<kind>.jsonl` in its folder), else the general one."""
    own = base_folder / "edge_sleep" / f"{kind}.jsonl"
    file = own if own.is_file() else RESOURCES / f"{kind}.jsonl"
    probes = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            messages = tuple(entry["messages"])
            expect = tuple(entry.get("expect") or ())
            known = bool(entry.get("known", True))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise IntegrityError(f"{file}:{number} is not a probe: {error}") from error
        probes.append(Probe(probe_id(kind, messages), kind, messages, expect=expect, known=known,
                            by_base=not expect and known, origin=f"{file.name}:{number}"))
    return probes


def untaught(probes: Sequence[Probe], taught: Collection[frozenset[str]]) -> list[Probe]:
    """Without those that expect "I don't know" about what was taught since, given as topics (data/words.py)."""
    return [probe for probe in probes if probe.known or not near(probe.messages[-1]["content"], taught)]


def draw(probes: Sequence[Probe], n: int, salt: str) -> list[Probe]:
    """n of a pool, in an order that only the salt decides."""
    return sorted(probes, key=lambda probe: hashlib.sha256(f"{salt}:{probe.id}".encode()).digest())[:n]


def split(probes: Sequence[Probe], salt: str, select_share: float = SELECT_SHARE) -> tuple[list[Probe], list[Probe]]:
    """(select, confirm): disjoint, decided by the salt; all probes of one experience fall on the same side."""
    select: list[Probe] = []
    confirm: list[Probe] = []
    for probe in probes:
        key = probe.origin if probe.words else probe.id
        draw_ = int.from_bytes(hashlib.sha256(f"{salt}/split:{key}".encode()).digest()[:8], "big") / 2**64
        (select if draw_ < select_share else confirm).append(probe)
    return select, confirm
