"""`edge-sleep prune`: let go of old adapters and what hangs on them, by the rules of `retention`."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption

if TYPE_CHECKING:
    from edge_sleep.checkpoint.prune import Item


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and why; remove nothing.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Remove adapters that no rule keeps, old nights' logs, exports of earlier adapters, the cache of another base.

    The base, the current adapter, what it grew from and what an unfinished night needs always stay.

    Example: edge-sleep prune --dry-run --set retention.monthly=12
    """
    from edge_sleep import config
    from edge_sleep.checkpoint import prune
    from edge_sleep.system import lock
    common = Common.of(home, profile, sets, as_json)
    place = common.existing_home()
    settings = config.load(place.config, common.sets).retention       # no base is needed for this
    if dry_run:
        items = prune.survey(place, settings)
    else:
        place.make()
        with lock.hold(place.night_lock, "a prune"):
            items = prune.survey(place, settings)
            prune.carry_out(place, items)
    freed = sum(item.size_bytes for item in items if not item.kept)
    output.answer({"dry_run": dry_run, "removed_bytes": freed, "items": [item.as_json() for item in items]},
                  as_text(items, freed, dry_run), as_json)


def as_text(items: Sequence[Item], freed_bytes: int, dry_run: bool) -> str:
    shown = [item for item in items if item.kind == "adapter" or not item.kept]
    rows = [("keeps" if item.kept else "removes", item.kind, item.name, output.size(item.size_bytes), item.reason)
            for item in sorted(shown, key=lambda item: not item.kept)]
    gone = sum(not item.kept for item in items)
    said = f"{'would remove' if dry_run else 'removed'} {gone} of {len(items)}, {output.size(freed_bytes)}"
    return "\n".join(filter(None, [output.columns(rows), said]))
