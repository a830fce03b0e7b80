"""Proof that the current artefact loads, hashes to what was promised, and speaks as it was judged."""
from __future__ import annotations

from typing import Any

from edge_sleep.checkpoint import integrity, manifest, store
from edge_sleep.config import Config
from edge_sleep.device import detect
from edge_sleep.errors import EdgeSleepError
from edge_sleep.evaluate.answers import canary_logits, speaking_as
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.serve import session
from edge_sleep.system.home import Home


def verify(home: Home, config: Config, everything: bool = False) -> dict[str, Any]:
    """The `verify` document: {"ok", "base", "adapter", "differs_from_base", "problems"}, with everything also "checked".

    everything: scan the whole home, not only what the next session loads. differs_from_base is the mean absolute
    difference of next-token logits on a fixed prompt; it must be what was recorded at promotion. Writes
    nothing but the cache.
    """
    result = _scanned(home) if everything else _empty()
    problems = result["problems"]
    try:
        pointer = store.current(home)
        base = session.base_of(home, config)
        result["base"] = base.sha256
        if everything:
            problems += _forged(home, base)
        if pointer is None or pointer["adapter"] is None:
            result["differs_from_base"] = 0.0
        else:
            result["adapter"] = pointer["adapter"]["id"]
            _, wrong = store.last_good(home)
            problems += [problem for problem in wrong if problem not in problems]
            if not wrong:
                result["differs_from_base"] = _difference(home, config, base, pointer["adapter"]["id"], problems)
    except EdgeSleepError as error:
        if error.message not in problems:
            problems.append(error.message)
    result["ok"] = not problems
    return result


def of_adapter(home: Home, config: Config, adapter_id: str) -> dict[str, Any]:
    """{"differs_from_base", "problems"} of an adapter of this home that is not current: what `verify` would say if it were."""
    problems = manifest.problems(home.adapter(adapter_id))
    try:
        base = session.base_of(home, config)
        if not problems and (grew_on := manifest.read(home.adapter(adapter_id))["base"]["sha256"]) != base.sha256:
            problems.append(f"adapter {adapter_id} grew on another base ({grew_on[:12]}) than this home's ({base.sha256[:12]})")
        differs = None if problems else _difference(home, config, base, adapter_id, problems)
    except EdgeSleepError as error:
        differs = None
        problems.append(error.message)
    return {"differs_from_base": differs, "problems": problems}


def without_base(home: Home, why: EdgeSleepError) -> dict[str, Any]:
    """The document of a whole scan where the base cannot be found, or not be known."""
    result = _scanned(home)
    if why.message not in result["problems"]:
        result["problems"].append(why.message)
    return result


def _empty() -> dict[str, Any]:
    return {"ok": False, "base": None, "adapter": None, "differs_from_base": None, "problems": []}


def _scanned(home: Home) -> dict[str, Any]:
    found = integrity.scan(home)
    return _empty() | {"problems": found.problems, "checked": found.checked}


def _forged(home: Home, base: base_model.Base) -> list[str]:
    """Adapters whose files and manifest agree, and whose name is not that of their content on this base."""
    found = []
    for name in manifest.readable(home):
        if not manifest.problems(home.adapter(name)):
            try:
                is_really = adapter.content_id(home.adapter(name), base.sha256)
            except EdgeSleepError as error:
                found.append(error.message)
                continue
            if is_really != name:
                found.append(f"adapter {name} holds what would be named {is_really}: it is not what a night made on this base")
    return found


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
