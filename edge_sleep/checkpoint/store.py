"""Which adapter the next session loads: `current.json`, the only pointer, changed by one replace.

latest.json and daily/ are derived from it and rebuilt at every start (marks.py).
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from edge_sleep.checkpoint import lineage as family
from edge_sleep.checkpoint import manifest, marks
from edge_sleep.errors import IntegrityError, UsageError
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json, read_object, write_json
from edge_sleep.system.home import Home

FORMAT = 1
BASE = "base"


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def current(home: Home) -> dict[str, Any] | None:
    """The pointer as it stands; None before the first promotion. IntegrityError where it does not parse, or is gone."""
    if not home.current.is_file():
        if marked(home):                   # marks are written after it: taken for a new home, this one would answer as the base
            last = remembered(home)
            name = "ID" if last is None else last["adapter"]["id"] if last["adapter"] else BASE
            whence = ", with a name from adapters/" if last is None else ""
            raise IntegrityError(f"{home.current} is gone: something was promoted in this home, and it said what is current",
                                 f"`edge-sleep rollback {name}` writes it anew{whence}")
        return None
    document = read_json(home.current, "current.json")
    if not isinstance(document, dict) or document.get("format") != FORMAT or not _sound(document):
        raise IntegrityError(f"{home.current} is not a pointer of format {FORMAT}",
                             "`edge-sleep rollback base` writes it anew")
    return document


def marked(home: Home) -> bool:
    """Whether a mark tells of a promotion."""
    return home.latest.is_file() or any(home.daily.glob("*.json"))


def _sound(document: dict) -> bool:
    """Whether what others read from the pointer without asking is there."""
    adapter, base, exports = document.get("adapter", ""), document.get("base"), document.get("exports") or {}
    return ((adapter is None or isinstance(adapter, dict) and all(isinstance(adapter.get(key), str) for key in ("id", "sha256")))
            and isinstance(base, dict) and all(isinstance(base.get(key), str) for key in ("source", "sha256"))
            and {"night", "promoted_at"} <= set(document)
            and isinstance(exports, dict) and all(isinstance(entry, dict) for entry in exports.values()))


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
        adapter = manifest.named(document)
    return _point(home, adapter, base=base, template=text_sha256(chat_template), prompt=text_sha256(system_prompt),
                  night=night, clock=clock)


def _point(home: Home, adapter: dict | None, *, base: dict, template: str | None, prompt: str | None, night: str | None,
           clock: Clock) -> dict:
    """Replace current.json: the one write that changes what the next session loads."""
    pointer = {"format": FORMAT, "base": base, "adapter": adapter, "chat_template_sha256": template,
               "system_prompt_sha256": prompt, "exports": {}, "night": night, "promoted_at": clock.stamp()}
    write_json(home.current, pointer)
    rebuild(home)
    return pointer


def note_export(home: Home, kind: str, adapter_id: str | None, entry: dict | None) -> bool:
    """Name an export in current.json: {"path" of its manifest, "sha256"}; None names it no more. Whether it is named now.

    Only one of what is current is ever named. The caller holds the night lock.
    """
    pointer = current(home)
    if pointer is None or (pointer["adapter"] or {}).get("id") != adapter_id:
        return False
    exports = {name: of for name, of in pointer["exports"].items() if name != kind} | ({kind: entry} if entry else {})
    if exports != pointer["exports"]:
        write_json(home.current, pointer | {"exports": exports})
    return entry is not None


def rebuild(home: Home) -> None:
    """Write latest.json and daily/ anew where they do not say what current.json and the manifests say."""
    pointer = current(home)
    if pointer is not None:
        marks.rebuild(home, pointer)


def rollback(home: Home, adapter: str | None, clock: Clock) -> dict:
    """Make an earlier adapter current again: the parent of the current one, `base`, or the id given.

    Raises UsageError where there is nothing to go back to, IntegrityError where the target is not whole.
    """
    pointer = read_damaged(home) if adapter is not None else current(home)
    if adapter is None:
        if pointer is None or pointer["adapter"] is None:
            raise UsageError("the base is current: there is nothing before it")
        target = family.parent_of(home, pointer["adapter"]["id"])
    else:
        target = None if adapter == BASE else find(home, adapter)
    known = read_object(home.base, "base record", "source", "sha256") if home.base.is_file() else None
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
    return manifest.named(manifest.read(home.adapter(adapter_id)))


def find(home: Home, prefix: str) -> str:
    """The one adapter whose id begins so. Raises UsageError where there is none, or several."""
    folders = sorted(home.adapters.iterdir()) if home.adapters.is_dir() else []
    matches = [folder.name for folder in folders
               if folder.is_dir() and folder.name.startswith(prefix) and not folder.name.startswith(".")]
    if len(matches) != 1:
        raise UsageError(f"{len(matches)} adapters begin with {prefix!r}",
                         "`edge-sleep prune --dry-run` lists them; `base` is always one of them")
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
            entry |= {key: document.get(key) for key in ("parent", "night", "created")}
        entries.append(entry)
    return sorted(entries, key=lambda entry: entry.get("created") or "")


def lineage(home: Home, adapter_id: str | None) -> list[str]:
    """From an adapter back to the base: ids, newest first. Raises IntegrityError where a parent is missing."""
    return family.ids(home, adapter_id)


def last_good(home: Home) -> tuple[str | None, list[str]]:
    """The newest adapter on the current lineage that is whole (None: the base), and what was wrong before it."""
    pointer = current(home)
    found: list[str] = []
    for adapter_id, wrong in descent(home, pointer) if pointer is not None else ():
        if not wrong:
            return adapter_id, found
        found += wrong
    return None, found


def descent(home: Home, pointer: dict) -> Iterator[tuple[str, list[str]]]:
    """From the adapter that a pointer names back towards the base: each id, and why it is not to be loaded (nothing: whole)."""
    adapter_id: str | None = pointer["adapter"]["id"] if pointer["adapter"] else None
    seen: set[str] = set()
    while adapter_id is not None and adapter_id not in seen:
        seen.add(adapter_id)
        yield adapter_id, _wrong(home, adapter_id, pointer)
        try:
            adapter_id = family.parent_of(home, adapter_id)
        except IntegrityError:
            return


def ends_untold(home: Home, adapter_id: str | None) -> bool:
    """Whether a `descent` that ended with this adapter ended there because neither manifest nor record tells its parent."""
    try:
        if adapter_id is not None:
            family.parent_of(home, adapter_id)
    except IntegrityError:
        return True
    return False


def remembered(home: Home) -> dict | None:
    """What latest.json says was current, as a pointer, for who has a damaged current.json; None where it does not stand."""
    mark = marks.read(home.latest) if home.latest.is_file() else None
    known = read_object(home.base, "base record", "source", "sha256") if home.base.is_file() else None
    if known is None or not isinstance(mark, dict) or marks.wrong(home, mark, manifest.readable(home)) is not None:
        return None
    return {"format": FORMAT, "base": {key: known[key] for key in ("source", "sha256")}, "adapter": mark["adapter"],
            "chat_template_sha256": None, "system_prompt_sha256": None, "exports": {}, "night": mark["night"],
            "promoted_at": mark["promoted_at"]}


def _wrong(home: Home, adapter_id: str, pointer: dict) -> list[str]:
    """Why this adapter is not to be loaded; empty where it is whole, and of this base."""
    found = manifest.problems(home.adapter(adapter_id))
    if found:
        return found
    document = manifest.read(home.adapter(adapter_id))
    if adapter_id == pointer["adapter"]["id"] and manifest.named(document)["sha256"] != pointer["adapter"]["sha256"]:
        found.append(f"current.json names another content for {adapter_id}")
    if document["base"]["sha256"] != pointer["base"]["sha256"]:
        found.append(f"adapter {adapter_id} grew on another base ({document['base']['source']}, "
                     f"{document['base']['sha256'][:12]}) than current.json names ({pointer['base']['sha256'][:12]})")
    return found
