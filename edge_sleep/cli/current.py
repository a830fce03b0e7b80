"""`edge-sleep current`: what the next session loads."""
from __future__ import annotations

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption


def command(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
            as_json: JsonOption = False) -> None:
    """Print what the next session loads: base, adapter, and the hashes they must have.

    Example: edge-sleep current --json
    """
    from edge_sleep.checkpoint import store
    place = Common.of(home, profile, sets, as_json).place()
    document = store.current(place) if place.exists() else None
    output.answer(document, as_text(document), as_json)


def as_text(document: dict | None) -> str:
    if document is None:
        return "nothing was promoted yet: the next session loads the base as it is"
    adapter = document.get("adapter") or {}
    return output.columns([("base", f"{document['base']['source']}  sha256 {document['base']['sha256'][:16]}"),
                           ("adapter", adapter.get("id", "none: the base as it is")),
                           ("made by", document.get("night")), ("promoted", document.get("promoted_at"))])
