"""What the night benchmarks share: a home that is taught lessons, and a morning on which it is asked.

Everything runs through the code a person runs: `night.run` on transcripts, then the adapter that
`current.json` names, loaded afresh.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_sleep import config
from edge_sleep.checkpoint import store
from edge_sleep.data.experience import Message
from edge_sleep.data.words import topic
from edge_sleep.device import detect
from edge_sleep.evaluate import probes, scoring
from edge_sleep.evaluate.answers import generate, speaking_as
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.night import Request, run
from edge_sleep.seedling.wording import jaccard, shares_four_gram
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

MAX_NEW_TOKENS = 40
_OF_BASE: dict[str, str] = {}      # probe id -> the base's answer: the same for every home of one run


def settings(*sets: str) -> config.Config:
    """The embedded default's configuration, as `edge-sleep night` would make it."""
    place = base_model.resolve("seedling")
    return config.load(None, ["companion.model=seedling", *sets], place.defaults)


def teach(home: Path, sessions: Sequence[dict], configuration: config.Config,
          listener: Callable[[dict], None] | None = None, force: bool = False,
          number: int | None = None) -> tuple[dict, list[str]]:
    """Write the sessions as transcripts, run one night; returns its record and every wording it trained on.

    number: of the night; its name, by which its questions are drawn, is then the same in every run.
    """
    talk = home.with_name(home.name + "-talk")
    talk.mkdir(parents=True, exist_ok=True)
    for session in sessions:
        (talk / f"session_{session['session']:04}.json").write_text(json.dumps(session))
    wordings: list[str] = []

    def note(event: dict) -> None:
        if event["event"] == "plan":
            for file in Home(home).nights.glob("*/state/examples.jsonl"):
                wordings.extend(entry["messages"][-2]["content"] for entry in map(json.loads, file.open())
                                if entry["origin"] != "replay")
        if listener:
            listener(event)

    record = run(Home(home), configuration, Request(sessions=(talk,), force=force), Clock() if number is None else Dated(number),
                 listener=note)
    return record, wordings


class Dated(Clock):
    """The machine's clock, where the evening of night `number` is a fixed one: it begins when the night is named."""

    def __init__(self, number: int):
        self.evening = datetime(2026, 1, 17, 23, tzinfo=timezone.utc) + timedelta(days=number)
        self.began: float | None = None

    def now(self) -> datetime:
        # From the first look on: what comes before it takes longer on a busy machine, and would change the name.
        if self.began is None:
            self.began = self.monotonic()
        return self.evening + timedelta(seconds=self.monotonic() - self.began)


def by_the_rule(questions: Sequence[dict], wordings: Sequence[str]) -> list[dict]:
    """Questions with no word 4-gram in common with any trained wording, and content-word Jaccard at most 0.5."""
    return [entry for entry in questions if not any(
        shares_four_gram(entry["question"], text) or jaccard(entry["question"], text) > 0.5 for text in set(wordings))]


class Morning:
    """The base with the current adapter of a home, loaded once and asked many things."""

    def __init__(self, home: Path, configuration: config.Config):
        place = base_model.resolve(configuration.companion.model)
        device = base_model.settled(Home(home), detect.choose())
        sha256, _ = base_model.fingerprint(place)
        loaded = base_model.load(base_model.Base(place, sha256, device.compute_dtype), device)
        self.tokenizer, self.system_prompt = loaded.tokenizer, configuration.companion.system_prompt
        self.adapter = store.incumbent(Home(home))
        self.model = loaded.model if self.adapter is None else adapter.attach_saved(
            loaded.model, Home(home).adapter(self.adapter), trainable=False)
        self.model.eval()

    def answers(self, conversations: Sequence[Sequence[Message]], *, base: bool = False, batch: int = 64) -> list[str]:
        """Greedy answers of the current adapter, or of the base."""
        said: list[str] = []
        with speaking_as(self.model, None if base or self.adapter is None else "default"):
            for start in range(0, len(conversations), batch):
                said += [text for text, _ in generate(self.model, self.tokenizer, conversations[start:start + batch],
                                                      self.system_prompt, MAX_NEW_TOKENS)]
        return said

    def recall(self, questions: Sequence[dict], *, base: bool = False) -> list[bool]:
        """For each {question, expect}: whether the answer holds what was expected."""
        said = self.answers([[{"role": "user", "content": entry["question"]}] for entry in questions], base=base)
        return [any(scoring.holds_phrase(answer, phrase) for phrase in entry["expect"])
                for answer, entry in zip(said, questions, strict=True)]

    def pool(self, kind: str, taught: Sequence[str] = ()) -> tuple[list[bool], list[bool]]:
        """(base, now) right answers over a whole pool; unknowns that were taught since are left out."""
        about = [topic(text) for text in set(taught)]
        chosen = probes.untaught(probes.pool(kind, base_model.resolve("seedling").folder), about)  # type: ignore[arg-type]
        unasked = [probe for probe in chosen if probe.id not in _OF_BASE]
        _OF_BASE.update(zip([probe.id for probe in unasked],
                            self.answers([probe.messages for probe in unasked], base=True), strict=True))
        of_base = [_OF_BASE[probe.id] for probe in chosen]
        now = self.answers([probe.messages for probe in chosen])
        return ([scoring.is_right(probe, answer, answer) for probe, answer in zip(chosen, of_base, strict=True)],
                [scoring.is_right(probe, answer, theirs) for probe, answer, theirs in zip(chosen, now, of_base, strict=True)])


def seeds_of(text: str) -> list[int]:
    """`0-9` or `3,5` as numbers."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(seed) for seed in text.split(",")]


def mean(values: Sequence[float | bool]) -> float | None:
    return sum(values) / len(values) if values else None
