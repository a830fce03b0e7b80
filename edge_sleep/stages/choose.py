"""What tonight learns from: new transcripts into the home, the incumbent checked, the lesson composed."""
from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_sleep.checkpoint import lineage, manifest, store
from edge_sleep.config import Config
from edge_sleep.data import tonight
from edge_sleep.data.augment.rewording import Wording
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Example, Experience
from edge_sleep.data.ingest import ingest as read_transcripts
from edge_sleep.data.salience import with_surprise
from edge_sleep.device import shortage
from edge_sleep.errors import IntegrityError, Outcome
from edge_sleep.evaluate import day
from edge_sleep.evaluate.patterns import patterns as dreamt
from edge_sleep.model.identity import own as own_name
from edge_sleep.stages import contest
from edge_sleep.stages.context import Night, interrupted
from edge_sleep.system.files import canonical_json, read_sealed, write_json, write_sealed
from edge_sleep.system.record import read_records
from edge_sleep.train import state as training_state


def ingest(night: Night, buffer: Buffer) -> None:
    paths = [*night.request.sessions, *(Path(name).expanduser() for name in night.config.data.sessions)]
    if night.home.sessions.is_dir():
        paths.append(night.home.sessions)
    result = read_transcripts(paths, buffer, companion=night.config.companion, quality=night.config.quality,
                              salience=night.config.salience, data=night.config.data, own=own_name(night.place))
    night.events("ingested", **result)
    night.record["data"] |= {"sessions": result["files"]["read"], "exchanges": result["exchanges"],
                             "new": result["new"], "quarantined": result["quarantined"], "redacted": result["redacted"],
                             "refused": result["files"]["refused"]}


def watch_the_day(night: Night, buffer: Buffer) -> None:
    """Take back a promotion whose answers broke more often by day than its predecessor's; named in the record."""
    now = store.incumbent(night.home)
    if now is None or night.request.dry_run or (night.state / "plan.json").is_file():
        return
    answers = day.answers_by_adapter(buffer)
    parent = lineage.parent_of(night.home, now)
    why = day.worse(answers.get(now, (0, 0)), answers.get(parent or day.BASE, (0, 0)))
    if why is None:
        return
    store.rollback(night.home, parent or store.BASE, night.clock)
    night.record["rolled_back"] = {"from": now, "to": parent, "reason": why}
    night.events("rolled_back", adapter=now, to=parent or store.BASE, reason=why)


def whole_incumbent(night: Night) -> str | None:
    """The adapter to continue from. IntegrityError where the current one is not what it was."""
    now = store.incumbent(night.home)
    good, wrong = store.last_good(night.home)
    if wrong:
        raise IntegrityError(f"the current adapter is not whole: {wrong[0]}",
                             f"`edge-sleep rollback {good or store.BASE}` makes the last good one current")
    if now is not None:
        grew_on = manifest.read(night.home.adapter(now))["base"]
        if grew_on["sha256"] != night.base.sha256:
            raise IntegrityError(f"the current adapter {now} grew on another base ({grew_on['source']}, "
                                 f"{grew_on['sha256'][:12]}), this home has {night.base.sha256[:12]}",
                                 f"`edge-sleep rollback {store.BASE}`, or put back the adapter that belongs here")
    return now


def select(night: Night, buffer: Buffer) -> str | None:
    """Choose tonight's examples, or take those of the interrupted night. Returns why there is nothing to do."""
    config, record = night.config, night.record
    new, earlier, night.held_out = tonight.choose(buffer, config)
    planned = night.state / "plan.json"
    if planned.is_file():
        why = training_state.damaged(night.state)
        if why is None:
            document = read_sealed(planned, "plan of the interrupted night")
            night.candidates = document.get("candidates", 1)          # as it was begun, whatever this start asks for
            if document["key"] == attempt(night) or (night.state / "verdict.json").is_file():
                night.examples = training_state.read_examples(night.state)
                night.data_sha256 = document["data_sha256"]
                night.parent = record["parent"] = document["parent"]      # a promotion that was cut has moved current.json
                ids = set(document["experiences"])
                night.experiences = [item for item in buffer.items(status="kept") if item.id in ids]
                return None
            why = "base, incumbent or settings changed since it stopped"
        night.events("resume", state="discarded", reason=why)
        if _taught_already(night, buffer):
            new, earlier, night.held_out = tonight.choose(buffer, config)
        shutil.rmtree(night.state)
        night.candidates = config.train.candidates
    if not new:
        held = f", but for {len(night.held_out)} that are held out (data.held_out)" if night.held_out else ""
        return f"no new experience since the last night{held}"
    if len(new) < config.data.min_new and not night.request.force:
        return (f"{len(new)} new experiences, and a night is worth it from {config.data.min_new} on "
                "(data.min_new; --force to sleep on them anyway)")
    night.experiences = new = _surprised(night, new)
    own_words = _own_words(night, buffer, new)

    def compose(settings: Config) -> list[Example]:
        return tonight.compose(new, earlier, settings, base_folder=night.place.folder, parent=night.parent, own_words=own_words)

    night.examples = compose(config)
    night.data_sha256 = training_state.write_examples(night.state, night.examples)
    key = attempt(night)
    tried = [old for old in read_records(night.home.nights)
             if old.get("key") == key and old["outcome"] in (Outcome.REJECTED.value, Outcome.NO_EFFECT.value)]
    if tried and not night.request.force:
        return (f"the same experiences with the same settings were {tried[-1]['outcome'].replace('_', ' ')} in night "
                f"{tried[-1]['night']}; new conversations or other settings are needed (--force tries again)")
    record["key"] = key
    rehearsed = sum(example.origin != "new" and example.epoch in (None, 0) for example in night.examples)
    record["data"] |= {"selected": len(new), "replay": rehearsed, "sha256": night.data_sha256}
    record["data"]["moves"] = dict(Counter(example.move or "as said" for example in night.examples if example.origin == "new"))
    record["data"]["experiences"] = [item.id for item in new]
    write_json(night.folder / "patterns.json", dreamt(new, _broken_beside(buffer, new)))
    contest.prepare(night, compose)
    write_sealed(night.state / "plan.json", {"format": 1, "key": key, "data_sha256": night.data_sha256, "parent": night.parent,
                                           "candidates": night.candidates, "experiences": record["data"]["experiences"]})
    return None


def _taught_already(night: Night, buffer: Buffer) -> bool:
    """Whether this night's candidate is current: then what it learned is marked so, by its manifest."""
    pointer = store.current(night.home)
    if pointer is None or pointer["night"] != night.id or pointer["adapter"] is None:
        return False
    adapter = pointer["adapter"]["id"]
    buffer.mark_trained(night.id, adapter, manifest.read(night.home.adapter(adapter)).get("data", {}).get("experiences") or [])
    return True


def _broken_beside(buffer: Buffer, new: list[Experience]) -> list[Experience]:
    """What the data gate refused by itself in the sessions that tonight learns from."""
    sessions = {item.session for item in new}
    return [item for item in buffer.items(status="quarantined") if item.session in sessions and item.reason in day.BROKEN]


def _surprised(night: Night, new: list[Experience]) -> list[Experience]:
    """Tonight's choice, its surprise measured by the model where that is wanted; what is stored keeps the counts' form."""
    found: dict[str, float] = {}
    if night.config.salience.by_model and not night.request.dry_run:
        from edge_sleep.evaluate.surprise import surprises

        found = surprises(night.base, night.device, night.config, night.parent_folder, new, _for_a_tenth(night))
        shortage.give_back()
        night.events("surprise", by_model=len(found), by_counts=len(new) - len(found))
    night.record["data"]["surprise"] = {"model": len(found), "counts": len(new) - len(found)}
    weights = night.config.salience.weights
    return [replace(item, salience=with_surprise(item.salience, found[item.id], weights)) if item.id in found else item
            for item in new]


def _for_a_tenth(night: Night) -> Callable[[], bool]:
    """Whether there is time left: a tenth of the night from now on, and nobody wants the device."""
    until = night.clock.monotonic() + night.config.budget.time / 10
    return lambda: night.clock.monotonic() < until and interrupted(night) is None


def _own_words(night: Night, buffer: Buffer, new: list[Experience]) -> dict[str, list[Wording]]:
    """The model's own wordings of tonight's prompts, where they are wanted, within a tenth of the night."""
    if not night.config.data.self_paraphrase or night.request.dry_run:
        return {}
    from edge_sleep.evaluate.rewriting import rewrite

    found = rewrite(night.base, night.device, night.config, night.parent_folder, new, buffer.memory, _for_a_tenth(night))
    shortage.give_back()
    night.events("rewritten", asked=len(new) * night.config.data.self_paraphrase, kept=sum(map(len, found.values())))
    return found


def attempt(night: Night) -> str:
    """What makes two nights the same attempt: base, parent, words and every setting that moves weights."""
    sha256 = night.data_sha256 or read_sealed(night.state / "plan.json", "plan")["data_sha256"]
    config = night.config
    return hashlib.sha256(canonical_json([
        night.base.sha256, night.parent, sha256, config.companion.system_prompt, config.data.max_tokens,
        config.lora.model_dump(), config.train.model_dump(exclude={"state_every", "threads", "candidates"}),
        *([variant.settings for variant in contest.of_night(night)] if night.candidates > 1 else [])])).hexdigest()
