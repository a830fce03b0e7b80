"""`edge-sleep worker`: be the machine that trains for others."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit, UsageError


def command(
    once: Annotated[bool, typer.Option("--once", help="Do what can be taken now, then end.")] = False,
    max_jobs: Annotated[int | None, typer.Option("--max-jobs", metavar="N", min=1, help="End after so many jobs.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Take jobs from thor.mailbox, train them on the bases of thor.bases, and send back what came of them.

    A service in the foreground; SIGTERM lets a running job save its state and gives it back. 10 where --once did nothing.

    Example: edge-sleep worker --home ~/worker --set thor.mailbox=folder:/mnt/mailbox --set thor.bases=[seedling]
    """
    from edge_sleep.cli.watch import journal
    from edge_sleep.system import lock, notify
    from edge_sleep.system.clock import Clock
    from edge_sleep.system.signals import Signals
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    config = context.configure(place, common)
    if not config.thor.bases:
        raise UsageError("thor.bases names no model this worker may train on",
                         "`--set thor.bases=[seedling]`, or folders and hub ids, in the home's edge-sleep.yaml")
    with lock.hold(place.worker_lock, "a worker"), Signals() as signals:
        from edge_sleep.thor.mailbox import Mailbox
        from edge_sleep.thor.worker import Worker
        clock, say = Clock(), journal()
        worker = Worker(place, config, lambda: Mailbox.open(place, config, clock), say, clock, signals)
        notify.notify(READY=1)
        with output.libraries_to_stderr():
            done = worker.run(once, max_jobs)
        notify.notify(STOPPING=1)
    output.answer({"done": done}, f"{done} job(s) done", as_json)
    raise typer.Exit(Exit.NOTHING_TO_DO if once and not done else Exit.OK)
