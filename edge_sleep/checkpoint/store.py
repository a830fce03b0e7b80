"""Which adapter the next session loads: `current.json`, the only pointer, changed by one replace.

latest.json, daily/ and `promoted` marks are derived from it and rebuilt at every start.
"""
from __future__ import annotations

import hashlib
import json
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError, UsageError
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json, write_json
from edge_sleep.system.home import Home

FORMAT = 1
BASE = "base"


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def current(home: Home) -> dict[str, Any] | None:
    """The pointer as it stands; None before the first promotion. IntegrityError where it does not parse."""
    if not home.current.is_file():
        return None
    document = read_json(home.current, "current.json")
    if not isinstance(document, dict) or document.get("format") != FORMAT or "adapter" not in document:
        raise IntegrityError(f"{home.current} is not a pointer of format {FORMAT}",
                             "`edge-sleep rollback base` writes it anew")
    return document


def incumbent(home: Home) -> str | None:
    """Id of the adapter the last session loaded; None is the base itself."""
    pointer = current(home)
    return pointer["adapter"]["id"] if pointer and pointer["adapter"] else None


def promote(home: Home, adapter_id: str | None, *, base: dict, chat_template: str, system_prompt: str,
            night: str | None, clock: Clock) -> dict:
    """Make an adapter (None: the base) what the next session loads. The replace of current.json is the promotion.

    Raises IntegrityError where the adapter is not whole: nothing is promoted that does not verify.
    """
    adapter = None
    if adapter_id is not None:
        folder = home.adapter(adapter_id)
        found = manifest.problems(folder)
        if found:
            raise IntegrityError(f"{adapter_id} cannot be promoted: {found[0]}")
        document = manifest.read(folder)
        if document["base"]["sha256"] != base["sha256"]:
            raise IntegrityError(f"{adapter_id} grew on base {document['base']['sha256'][:12]}, "
                                 f"this home has {base['sha256'][:12]}")
        adapter = _named(document)
    return _point(home, adapter, base=base, template=text_sha256(chat_template), prompt=text_sha256(system_prompt),
                  night=night, clock=clock)


def _named(document: dict) -> dict:
    """An adapter as current.json names it, from its manifest."""
    return {"id": document["id"], "sha256": document["files"]["adapter_model.safetensors"]["sha256"],
            "path": f"adapters/{document['id']}"}


def _point(home: Home, adapter: dict | None, *, base: dict, template: str | None, prompt: str | None, night: str | None,
           clock: Clock) -> dict:
    """Replace current.json: the one write that changes what the next session loads."""
    pointer = {"format": FORMAT, "base": base, "adapter": adapter, "chat_template_sha256": template,
               "system_prompt_sha256": prompt, "exports": {}, "night": night, "promoted_at": clock.stamp()}
    write_json(home.current, pointer)
    rebuild(home)
    return pointer


def rebuild(home: Home) -> None:
    """Write latest.json and today's daily mark from current.json, where they say something else."""
    pointer = current(home)
    if pointer is None:
        return
    entry = {"format": FORMAT, "adapter": pointer["adapter"], "night": pointer["night"],
             "promoted_at": pointer["promoted_at"]}
    day = pointer["promoted_at"][:10].replace("-", "")
    for file in (home.latest, home.daily / f"{day}.json"):
        if not file.is_file() or file.read_bytes() != (json.dumps(entry, indent=1) + "\n").encode():
            write_json(file, entry)


def rollback(home: Home, adapter: str | None, clock: Clock) -> dict:
    """Make an earlier adapter current again: the parent of the current one, `base`, or the id given.

    Raises UsageError where there is nothing to go back to, IntegrityError where the target is not whole.
    """
    pointer = read_damaged(home) if adapter is not None else current(home)
    if adapter is None:
        if pointer is None or pointer["adapter"] is None:
            raise UsageError("the base is current: there is nothing before it")
        target = manifest.read(home.adapter(pointer["adapter"]["id"]))["parent"]
    else:
        target = None if adapter == BASE else _by_prefix(home, adapter)
    known = read_json(home.base, "base record") if home.base.is_file() else None
    if known is None:
        raise UsageError(f"{home.root} has not had a night yet: there is nothing to roll back")
    before = pointer or {}
    return _point(home, _entry(home, target), base={"source": known["source"], "sha256": known["sha256"]},
                  template=before.get("chat_template_sha256"), prompt=before.get("system_prompt_sha256"), night=None,
                  clock=clock)


def read_damaged(home: Home) -> dict | None:
    """The pointer, or None where it is damaged: an explicit rollback writes it anew."""
    try:
        return current(home)
    except IntegrityError:
        return None


def _entry(home: Home, adapter_id: str | None) -> dict | None:
    if adapter_id is None:
        return None
    found = manifest.problems(home.adapter(adapter_id))
    if found:
        raise IntegrityError(f"{adapter_id} is not whole: {found[0]}", "choose an earlier one, or `base`")
    return _named(manifest.read(home.adapter(adapter_id)))


def _by_prefix(home: Home, prefix: str) -> str:
    matches = [folder.name for folder in sorted(home.adapters.glob(f"{prefix}*")) if folder.is_dir()]
    if len(matches) != 1:
        raise UsageError(f"{len(matches)} adapters begin with {prefix!r}",
                         "`edge-sleep status` lists them; `base` is always one of them")
    return matches[0]


def history(home: Home) -> list[dict]:
    """Every adapter of the home with its night, parent and whether it is whole, oldest first."""
    entries = []
    now = incumbent(home)
    for folder in sorted(home.adapters.iterdir()) if home.adapters.is_dir() else []:
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        found = manifest.problems(folder)
        entry: dict[str, Any] = {"id": folder.name, "current": folder.name == now, "problems": found}
        if (folder / manifest.NAME).is_file() and not any(manifest.NAME in problem for problem in found):
            document = manifest.read(folder)
            entry |= {key: document[key] for key in ("parent", "night", "created")}
        entries.append(entry)
    return sorted(entries, key=lambda entry: entry.get("created") or "")


def lineage(home: Home, adapter_id: str | None) -> list[str]:
    """From an adapter back to the base: ids, newest first. Raises IntegrityError where a parent is missing."""
    chain: list[str] = []
    while adapter_id is not None:
        if adapter_id in chain:
            raise IntegrityError(f"the lineage of {chain[0]} is a circle at {adapter_id}")
        chain.append(adapter_id)
        adapter_id = manifest.read(home.adapter(adapter_id))["parent"]
    return chain


def last_good(home: Home) -> tuple[str | None, list[str]]:
    """The newest adapter on the current lineage that is whole (None: the base), and what was wrong before it."""
    found: list[str] = []
    pointer = current(home)
    adapter_id = pointer["adapter"]["id"] if pointer and pointer["adapter"] else None
    while adapter_id is not None:
        wrong = manifest.problems(home.adapter(adapter_id))
        if not wrong and pointer and adapter_id == pointer["adapter"]["id"]:
            document = manifest.read(home.adapter(adapter_id))
            if document["files"]["adapter_model.safetensors"]["sha256"] != pointer["adapter"]["sha256"]:
                wrong = [f"current.json names another content for {adapter_id}"]
        if not wrong:
            return adapter_id, found
        found += wrong
        try:
            adapter_id = manifest.read(home.adapter(adapter_id))["parent"]
        except IntegrityError:
            return None, found
    return None, found


