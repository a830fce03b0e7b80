"""From an adapter to what may answer in its place: made, compared with what was judged, timed, and named in current.json."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_sleep.checkpoint import manifest, store
from edge_sleep.evaluate.answers import canary_ids
from edge_sleep.export import artefact, examine
from edge_sleep.export.artefact import Made
from edge_sleep.export.workshop import Workshop
from edge_sleep.serve import runtimes, speed
from edge_sleep.serve.exported import KINDS
from edge_sleep.serve.runtime import Worn


@dataclass(frozen=True)
class Handed:
    """anew: it was not there; seconds: of making it; current: current.json names it now."""

    made: Made
    anew: bool
    seconds: float
    current: bool


def hand_over(shop: Workshop, kind: str, adapter_id: str, check: bool = True) -> Handed:
    """Make an export of an adapter; with check compare it, time it where it is faithful, and name it where it is current's.

    The caller holds the night lock. Raises as `Workshop.adapter_export` and `examine` do.
    """
    made, anew, seconds = made_and_compared(shop, lambda: shop.adapter_export(kind, adapter_id), check)
    found = made.document["fidelity"]
    passed = found is not None and found["passed"]
    if check and passed and kind in KINDS and speed.of(made, speed.where(shop.device)) is None:
        made = timed(shop, made)
    return Handed(made, anew, seconds, store.note_export(shop.home, kind, adapter_id, made.entry(shop.home) if passed else None))


def made_and_compared(shop: Workshop, make: Callable[[], tuple[Made, bool]], check: bool) -> tuple[Made, bool, float]:
    """(the artefact that `make` gives, whether it was made now, seconds of making it).

    With check it has its verdict: measured where it was not yet, else settled by the bars of now.
    """
    began = time.monotonic()
    made, anew = make()
    seconds = time.monotonic() - began
    if check:
        made = examine.examine(shop, made) if anew or made.document["fidelity"] is None else examine.settle(shop, made)
    return made, anew, seconds


def timed(shop: Workshop, made: Made) -> Made:
    """The artefact with its speed in its manifest, and the judged form's beside it; as it is, where its runtime is missing."""
    kind = KINDS[made.document["kind"]]
    version = kind.version()
    if version is None:
        return made
    adapter_id = made.document["adapter"]["id"]
    document, files = manifest.contents(shop.home.adapter(adapter_id))
    worn = Worn(adapter_id, document["sha256"], files, {made.document["kind"]: made})
    prompt = canary_ids(shop.tokenizer, shop.system_prompt)
    found: dict[str, float] = {}
    for name in (made.document["kind"], runtimes.JUDGED):
        live = runtimes.load(name, shop.home, shop.base, shop.device)
        try:
            live.wear(worn)
            found[name] = speed.decoding(live, prompt)
        finally:
            live.close()
    own, judged = found[made.document["kind"]], found[runtimes.JUDGED]
    return artefact.note(made, speed=speed.Speed(own, judged, speed.where(shop.device), version).as_json())
