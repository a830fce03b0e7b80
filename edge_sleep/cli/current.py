"""`edge-sleep current`: what the next session loads, and where an adapter comes from."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption


def command(
    adapter: Annotated[str | None, typer.Argument(
        metavar="ADAPTER", help="Id of an adapter, or its first letters: show its lineage.  [default: the current one]",
        show_default=False)] = None,
    lineage: Annotated[bool, typer.Option(
        "--lineage", help="Show what it grew from, back to the base: nights, hashes of what was taught, parents.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Print what the next session loads: base, adapter, and the hashes they must have.

    Example: edge-sleep current --lineage
    """
    from edge_sleep.checkpoint import lineage as family
    from edge_sleep.checkpoint import store
    place = Common.of(home, profile, sets, as_json).place()
    if lineage or adapter is not None:
        named = store.find(place, adapter) if adapter is not None else store.incumbent(place)
        entries = family.tell(place, named)
        output.answer({"adapter": named, "lineage": entries}, lineage_as_text(entries), as_json)
        return
    pointer = store.current(place) if place.exists() else None
    output.answer(pointer, as_text(pointer), as_json)


def as_text(document: dict | None) -> str:
    if document is None:
        return "nothing was promoted yet: the next session loads the base as it is"
    adapter = document.get("adapter") or {}
    return output.columns([("base", f"{document['base']['source']}  sha256 {document['base']['sha256'][:16]}"),
                           ("adapter", adapter.get("id", "none: the base as it is")),
                           ("made by", document.get("night")), ("promoted", document.get("promoted_at"))])


def lineage_as_text(entries: list[dict]) -> str:
    rows = [(entry["id"], f"night {entry['night'] or 'unknown'}", f"{entry['experiences']} experiences",
             f"data {(entry['data_sha256'] or 'unknown')[:16]}", f"from {entry['parent'] or 'the base'}",
             "; ".join(entry["problems"])) for entry in entries]
    return output.columns([*rows, ("base",)])
