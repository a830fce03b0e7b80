"""What must hold after any fault, the same for all kinds: each returns the losses it found, in words."""
from __future__ import annotations

from collections.abc import Callable

from edge_sleep.checkpoint import manifest, store
from edge_sleep.errors import EdgeSleepError
from edge_sleep.system import lock
from edge_sleep.system.files import TEMPORARY
from edge_sleep.system.record import read_records
from tests.faults.ground import End, Trial, fingerprint, stored

WORKED = (0, 10)                           # what the next start of an undamaged home may end with: promoted, nothing to do


def kept(trial: Trial) -> list[str]:
    """Right after the fault, before anything else runs: the pointer, the adapters, the base and the transcripts."""
    found, allowed = [], {trial.incumbent, trial.expected}
    try:
        now = store.incumbent(trial.home)
        _, wrong = store.last_good(trial.home)
        found += [f"what current.json names is not whole: {one}" for one in wrong]
        if now not in allowed:
            found.append(f"current.json names {now}, neither the incumbent nor what a whole night makes")
    except EdgeSleepError as error:
        found.append(f"current.json: {error.message}")
    if trial.incumbent is not None and (wrong := manifest.problems(trial.home.adapter(trial.incumbent))):
        found.append(f"the incumbent of before is not whole: {wrong[0]}")
    return found + untouched(trial)


def untouched(trial: Trial) -> list[str]:
    """Transcripts and base are read, never written."""
    talk = trial.ground.root / "talk" / ("first" if trial.stage == "fresh" else "both")
    found = [] if fingerprint(trial.talk) == fingerprint(talk) else ["the transcripts were changed"]
    return found + ([] if fingerprint(trial.ground.model) == trial.ground.base else ["the base was changed"])


def answers(trial: Trial) -> list[str]:
    """What is current verifies, and its logits are those of its adapter on the untouched ground, bit for bit."""
    (end,), logits = trial.logits()
    if store.incumbent(trial.home) is None:
        return [] if end.named else [f"verify: {end.name}: {end.said[-1500:]}"]
    if end.code != 0:
        return [f"verify: {end.name}: {end.said[-1500:]}"]
    now = store.incumbent(trial.home)
    return [] if logits == trial.ground.logits.get(str(now)) else [f"the logits of {now} are not those that it had"]


def named(end: End, what: str, *also: int) -> list[str]:
    """also: further exits that this may have; a negative one is a signal that was sent to it."""
    return [] if end.named or end.code in also else [f"{what} ended as {end.name}: {end.said[-3000:]}"]


def next_start(trial: Trial, *, same: bool = True, prepare: Callable[[], object] = lambda: None) -> tuple[str, list[str]]:
    """(name of its end, losses) of the next night, with nothing in its way any more.

    same: what it makes must be what an undisturbed night makes, to the bit. prepare: called in the night's process.
    """
    end = trial.run(*trial.night, prepare=prepare)
    if end.code not in WORKED:
        return end.name, [f"the next start ended as {end.name}: {end.said[-3000:]}"]
    now, found = store.incumbent(trial.home), []
    if same and now != trial.expected:
        found.append(f"current is {now} after the next start, a whole night makes {trial.expected}")
    found += settled(trial)
    again = trial.run(*trial.night, prepare=prepare)
    if again.code != 10 or store.incumbent(trial.home) != now:
        found.append(f"one more start ended as {again.name}, there was nothing left to do: {again.said[-1500:]}")
    return end.name, found


def settled(trial: Trial) -> list[str]:
    """After a night that came to its end: no remains, no lock, every record with its outcome, every experience kept and taught."""
    home, found = trial.home, []
    left = [str(file.relative_to(home.root)) for file in home.root.rglob("*") if file.name.startswith(TEMPORARY)]
    found += [f"half-written remains: {', '.join(left)}"] if left else []
    found += [f"{file.name} is held by nobody's command" for file in (home.night_lock, home.session_lock) if lock.is_held(file)]
    found += [f"night {one['night']} has no outcome" for one in read_records(home.nights) if not one["outcome"]]
    found += [f"{folder} is left" for folder in home.nights.glob("*/state")]
    wanted, there = trial.ground.stored[0 if trial.stage == "fresh" else 1], stored(home)
    if there != wanted:
        found.append("{} experiences are stored and {} marked as taught, of {} and {}".format(*there, *wanted))
    return found
