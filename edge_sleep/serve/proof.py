"""Proof that the current artefact loads, hashes to what was promised, and speaks as it was judged."""
from __future__ import annotations

from typing import Any

from edge_sleep.checkpoint import manifest, store
from edge_sleep.config import Config
from edge_sleep.device import detect
from edge_sleep.errors import EdgeSleepError
from edge_sleep.evaluate.answers import canary_logits, speaking_as
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home


def verify(home: Home, config: Config, everything: bool = False) -> dict[str, Any]:
    """The `verify` document: {"ok", "base", "adapter", "differs_from_base", "problems"}.

    everything: check the files of every adapter, not only of the current one. differs_from_base is the mean
    absolute difference of next-token logits on a fixed prompt; it must be what was recorded at promotion.
    """
    problems: list[str] = []
    result: dict[str, Any] = {"ok": False, "base": None, "adapter": None, "differs_from_base": None, "problems": problems}
    if everything:
        problems += [problem for entry in store.history(home) for problem in entry["problems"]]
    try:
        pointer = store.current(home)
        place = base_model.resolve(config.companion.model, config.companion.allow_download)
        base = base_model.declare(home, place, detect.choose(), Clock().stamp())
        result["base"] = base.sha256
        if pointer is None or pointer["adapter"] is None:
            result["differs_from_base"] = 0.0
        else:
            result["adapter"] = pointer["adapter"]["id"]
            _, wrong = store.last_good(home)
            problems += [problem for problem in wrong if problem not in problems]
            if not wrong:
                result["differs_from_base"] = _difference(home, config, base, pointer["adapter"]["id"], problems)
    except EdgeSleepError as error:
        problems.append(error.message)
    result["ok"] = not problems
    return result


def _difference(home: Home, config: Config, base: base_model.Base, adapter_id: str, problems: list[str]) -> float:
    loaded = base_model.load(base, detect.choose())
    model = adapter.attach_saved(loaded.model, home.adapter(adapter_id), trainable=False)
    model.eval()
    with speaking_as(model, None):
        of_base = canary_logits(model, loaded.tokenizer, config.companion.system_prompt)
    with speaking_as(model, "default"):
        of_adapter = canary_logits(model, loaded.tokenizer, config.companion.system_prompt)
    difference = (of_adapter - of_base).abs().mean().item()
    promised = manifest.read(home.adapter(adapter_id)).get("effect", {}).get("canary_mean_abs_logit_difference")
    if difference == 0.0:
        problems.append(f"adapter {adapter_id} changes nothing: its logits equal the base's")
    elif promised and abs(difference - promised) > 0.05 * promised:
        problems.append(f"adapter {adapter_id} moves the logits by {difference:.4f}, {promised:.4f} was recorded "
                        "at promotion (another system prompt, precision or base)")
    return difference
