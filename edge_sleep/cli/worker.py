"""`edge-sleep worker`: be the machine that trains for others, alone or for a whole cluster."""
from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any, Literal

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.config import Config
from edge_sleep.errors import DeviceError, Exit, SyncError, UsageError
from edge_sleep.system.home import Home


def command(
    once: Annotated[bool, typer.Option("--once", help="Do what can be taken now, then end.")] = False,
    max_jobs: Annotated[int | None, typer.Option("--max-jobs", metavar="N", min=1, help="End after so many jobs.")] = None,
    engine: Annotated[Literal["local", "ray"] | None, typer.Option("--engine", help="Where to train: thor.engine.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Say what waits, was done, and failed; take nothing.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Take jobs from thor.mailbox, train them on the bases of thor.bases, and send back what came of them.

    With `--engine ray` they are trained on the Ray cluster that this machine is a node of, each where it has room. A service in
    the foreground; SIGTERM lets running jobs save their state and gives them back. 10 where --once did nothing.

    Example: edge-sleep worker --home ~/worker --set thor.mailbox=folder:/mnt/mailbox --set thor.bases=[seedling]
    """
    common = Common.of(home, profile, [*(sets or []), *([f"thor.engine={engine}"] if engine else [])], as_json)
    place = common.open_home()
    config = context.configure(place, common)
    if status:
        found = _status(place, config)
        from edge_sleep.thor import history
        output.answer(found, history.told(found), as_json)
        return
    if not config.thor.bases:
        raise UsageError("thor.bases names no model this worker may train on",
                         "`--set thor.bases=[seedling]`, or folders and hub ids, in the home's edge-sleep.yaml")
    done = _work(place, config, once, max_jobs)
    output.answer({"done": done}, f"{done} job(s) done", as_json)
    raise typer.Exit(Exit.NOTHING_TO_DO if once and not done else Exit.OK)


def _work(place: Home, config: Config, once: bool, max_jobs: int | None) -> int:
    from edge_sleep.cli.watch import journal
    from edge_sleep.system import lock, notify
    from edge_sleep.system.clock import Clock
    from edge_sleep.system.signals import Signals
    with lock.hold(place.worker_lock, "a worker"), Signals() as signals, ExitStack() as open_:
        from edge_sleep.thor.choose import open_engine
        from edge_sleep.thor.mailbox import Mailbox
        from edge_sleep.thor.worker import Worker
        clock, say = Clock(), journal()
        with output.libraries_to_stderr():
            worker = Worker(place, config, lambda: Mailbox.open(place, config, clock), say, clock, signals,
                            open_engine(place, config, clock, signals, say))
            if config.thor.metrics:
                from edge_sleep.thor.metrics import Metrics
                metrics = open_.enter_context(Metrics(config.thor.metrics))
                worker.show, worker.closed = metrics.show, metrics.closed
                say(f"numbers for Prometheus: http://{metrics.host}:{metrics.port}/metrics")
            notify.notify(READY=1)
            done = worker.run(once, max_jobs)
        notify.notify(STOPPING=1)
    return done


def _status(place: Home, config: Config) -> dict[str, Any]:
    """From ledger, mailbox and cluster; what cannot be reached is said in its place."""
    from edge_sleep.system import lock
    from edge_sleep.system.clock import Clock
    from edge_sleep.thor import history, ledger, queue
    from edge_sleep.thor.mailbox import Mailbox
    clock = Clock()
    records = {one["job"]: one for one in ledger.records(place, "worker")}
    waiting: list[queue.Waiting] = []
    names: dict[str, str] = {}
    problem = None
    try:
        mailbox = Mailbox.open(place, config, clock)
        names = {one.id: one.name for one in mailbox.keys.peers}
        waiting = history.waiting(mailbox, records)
    except SyncError as error:
        problem = error.message
    begun = queue.begun(records.values(), clock.now())
    return {"engine": config.thor.engine, "worker": lock.holder(place.worker_lock), "mailbox_problem": problem,
            **history.summary(records.values(), queue.order(waiting, begun, clock.now()), names, clock.now()),
            "cluster": _cluster(config) if config.thor.engine == "ray" else None}


def _cluster(config: Config) -> dict[str, Any]:
    from edge_sleep.thor.cluster import Cluster
    try:
        with output.libraries_to_stderr():
            cluster = Cluster.connect(config.thor.ray_address)
            nodes = cluster.nodes()
            free = dict(cluster.free())
            cluster.close()
    except DeviceError as error:
        return {"problem": error.message, "do": error.do, "nodes": []}
    return {"problem": None, "free": {name: free.get(name, 0.0) for name in ("CPU", "GPU", "memory")},
            "nodes": [{"id": node.id, "host": node.host, "cpus": node.resources.get("CPU", 0.0),
                       "gpus": node.resources.get("GPU", 0.0), "memory_bytes": node.memory_bytes} for node in nodes]}
