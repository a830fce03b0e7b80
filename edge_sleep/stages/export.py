"""The morning's artefacts: what `export.kinds` names, made and compared after the promotion, which they cannot undo."""
from __future__ import annotations

from edge_sleep.checkpoint import store
from edge_sleep.errors import EdgeSleepError
from edge_sleep.stages.context import Night, interrupted


def export(night: Night) -> None:
    """Make each kind of the current adapter; what came of it goes into the record, and a failure ends that kind alone."""
    from edge_sleep.export.workshop import Workshop
    from edge_sleep.serve.handover import hand_over

    shop = Workshop(night.home, night.base, night.device, night.config.export, night.config.companion.system_prompt,
                    night.clock.stamp())
    exports: dict[str, dict] = {}
    night.record["exports"] = exports
    adapter_id = store.incumbent(night.home)
    if adapter_id is None:
        return
    for kind in night.config.export.kinds:
        if (why := interrupted(night)) is not None:
            exports[kind] = {"problem": f"not made: {why}"}
            continue
        try:
            handed = hand_over(shop, kind, adapter_id)
            found = handed.made.document
            exports[kind] = {"path": handed.made.folder.relative_to(night.home.root).as_posix(), "seconds": handed.seconds,
                             "runtime": found["runtime"], "speed": found.get("speed"), **found["fidelity"]}
        except EdgeSleepError as error:
            exports[kind] = {"problem": error.message}
        night.events("export", kind=kind, **exports[kind])
