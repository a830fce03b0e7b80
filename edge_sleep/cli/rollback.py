"""`edge-sleep rollback`: make an earlier adapter current again."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.system.home import Home


def command(
    adapter: Annotated[str | None, typer.Argument(
        metavar="ADAPTER", help="Id of an adapter, or `base`.  [default: the one before the current]",
        show_default=False)] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Make an earlier adapter current again; `base` is always one of them.

    Example: edge-sleep rollback base
    """
    from edge_sleep.checkpoint import store
    from edge_sleep.system import lock
    from edge_sleep.system.clock import Clock
    place = Common.of(home, profile, sets, as_json).existing_home()
    # A night that promotes in between would undo it.
    with lock.hold(place.night_lock, "a rollback"):
        before = store.read_damaged(place)
        document = store.rollback(place, adapter, Clock())
    _noted(place, document, before)
    now = document.get("adapter") or {}
    output.answer(document, f"the next session loads {now.get('id', 'the base as it is')}", as_json)


def _noted(place: Home, document: dict, before: dict | None) -> None:
    """Of an adapter from another machine it is written down that and why it became current."""
    from edge_sleep.sync import received
    now = document.get("adapter") or {}
    if now and (origin := received.origin(place, now["id"])) is not None:
        received.used(place, {"adapter": now["id"], "before": ((before or {}).get("adapter") or {}).get("id"),
                              "machine": origin["machine"], "at": document["promoted_at"], "differs_from_base": None,
                              "reason": f"asked for by `rollback`, unproven here; made on machine {origin['name']} "
                                        f"({origin['machine']})"})
