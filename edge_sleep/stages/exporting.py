"""The process that makes a night's exports: a job as JSON on stdin, a line of JSON on stdout for each kind, made or not.

    python -m edge_sleep.stages.exporting < job.json
"""
from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep.system.children import end_with

if TYPE_CHECKING:
    from edge_sleep.export.workshop import Workshop


def main() -> None:
    job = json.load(sys.stdin)
    end_with(job["parent"])
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                                      # whatever a library prints is no line of ours
    shop = workshop(job)
    for kind in job["kinds"]:
        print(json.dumps({"kind": kind, **made(shop, kind, job["adapter"])}), file=told, flush=True)
    sys.stderr.flush()
    os._exit(0)                                        # everything is on the disk; taking torch apart takes a second


def made(shop: Workshop, kind: str, adapter_id: str) -> dict[str, Any]:
    """What the record says of one kind: how faithful it is and what it cost, or the problem."""
    from edge_sleep.errors import EdgeSleepError
    from edge_sleep.serve.handover import hand_over
    try:
        handed = hand_over(shop, kind, adapter_id)
    except EdgeSleepError as error:
        return {"problem": error.message}
    found = handed.made.document
    return {"path": handed.made.folder.relative_to(shop.home.root).as_posix(), "seconds": handed.seconds,
            "runtime": found["runtime"], "speed": found.get("speed"), **found["fidelity"]}


def workshop(job: dict[str, Any]) -> Workshop:
    from edge_sleep.config import Export
    from edge_sleep.device.detect import Device
    from edge_sleep.export.workshop import Workshop
    from edge_sleep.model.base import Base, BaseSource
    from edge_sleep.system.home import Home
    base = job["base"]
    place = BaseSource(base["place"]["source"], Path(base["place"]["folder"]))
    cache = None if base["cache"] is None else Path(base["cache"])
    return Workshop(Home(Path(job["home"])), Base(**{**base, "place": place, "cache": cache}), Device(**job["device"]),
                    Export.model_validate(job["export"]), job["system_prompt"], job["created"])


if __name__ == "__main__":
    main()
