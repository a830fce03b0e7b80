"""An artefact beside the model that was judged: compared before current.json may name it, and by its canary whenever asked."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_sleep.config import Export
from edge_sleep.errors import EdgeSleepError, IntegrityError
from edge_sleep.evaluate.answers import canary_ids, speaking_as
from edge_sleep.export import artefact, fidelity, passages, speakers
from edge_sleep.export.artefact import Made
from edge_sleep.export.fidelity import Bars, Canary, Fidelity
from edge_sleep.export.workshop import Workshop
from edge_sleep.model import adapter as peft
from edge_sleep.model import base as base_model


def examine(shop: Workshop, made: Made) -> Made:
    """Compare and write what was found into the manifest: "fidelity" with its verdict, "canary", "runtime".

    The reference is the 4-bit base with the adapter on it (a base export: the base alone), loaded here as the gate loads it.
    """
    import torch

    if found_wrong := artefact.problems(shop.home, made.folder, shop.base.sha256):
        raise IntegrityError(found_wrong[0], "`edge-sleep export` makes it again")
    adapter = made.document["adapter"]
    texts = passages.of(shop.home, shop.base.place, shop.tokenizer, shop.system_prompt, shop.settings.passages,
                        made.document["id"])
    prompt = canary_ids(shop.tokenizer, shop.system_prompt)
    with judged(shop, adapter and adapter["id"]) as (says, base_says), speakers.of(shop, made) as (speak, runtime):
        found = fidelity.compare((torch.tensor(ids), says(ids), speak(ids), base_says(ids) if adapter else None) for ids in texts)
        canary = Canary.of(prompt, says(prompt)[-1], base_says(prompt)[-1])
        off = canary.wrong(speak(prompt)[-1], adapted=adapter is not None)
    return artefact.note(made, runtime=runtime, canary=canary.as_json(), fidelity={
        **found.as_json(), "passages": len(texts), "canary": off, **_verdict(found, off, shop.settings)})


def settle(shop: Workshop, made: Made) -> Made:
    """The verdict by the bars of now, on what was measured when the artefact was compared."""
    kept = made.document["fidelity"]
    found = Fidelity(**{key: kept[key] for key in ("tokens", "kl", "top1", "nll_judged", "nll_artefact", "moved")})
    now = {**kept, **_verdict(found, kept["canary"], shop.settings)}
    return made if now == kept else artefact.note(made, fidelity=now)


def _verdict(found: Fidelity, off: str | None, settings: Export) -> dict:
    bars = Bars.of(settings)
    passed, against = fidelity.verdict(found, bars)
    return {"allowed_kl": bars.largest_kl(found.moved), "passed": passed and off is None,
            "reasons": against if off is None else [*against, off]}


@contextmanager
def judged(shop: Workshop, adapter_id: str | None) -> Iterator[tuple[speakers.Speak, speakers.Speak]]:
    """(the judged model, its base alone) on one set of weights."""
    model: Any = base_model.load(shop.base, shop.device).model
    if adapter_id is not None:
        model = peft.attach_saved(model, shop.home.adapter(adapter_id), trainable=False)
    model.eval()
    says = speakers.of_model(model)

    def base_says(ids: Any) -> Any:
        with speaking_as(model, None):
            return says(ids)

    yield says, base_says


def verify(shop: Workshop, made: Made) -> list[str]:
    """Everything that speaks against an artefact now: its files, and what it says to its canary. Empty where it is as it was."""
    if found := artefact.problems(shop.home, made.folder, shop.base.sha256):
        return found
    what = f"export {made.name}"
    if (kept := made.document.get("canary")) is None:
        return [f"{what} was never compared with the judged model"]
    if not made.document["fidelity"]["passed"]:
        return [f"{what}: {reason}" for reason in made.document["fidelity"]["reasons"]]
    canary = Canary.read(kept)
    try:
        with speakers.of(shop, made) as (speak, _):
            off = canary.wrong(speak(canary.ids)[-1], adapted=made.document["adapter"] is not None)
    except EdgeSleepError as error:
        return [f"{what}: {error.message}"]
    return [f"{what}: {off}"] if off else []
