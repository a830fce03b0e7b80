"""One job on a node of a cluster: files in, what happened out, and nothing left of it on the node.

Runs in a worker process of Ray, as a generator whose items travel through the object store (thor/ray_engine.py hears them):

    ("started", {node, host, pid})               it has its resources
    ("event", {event, ...})                      what a night's event log would have
    ("state", {name: bytes})                     the step it saved, and what training began with
    ("wanted", {})                               this node has not the base, and was given none: to be sent again with it
    ("unfit", {reason})                          this node can do no job: other versions, no room for the base
    ("failed", {kind, message, do})              an EdgeSleepError by its name
    ("ended", {facts, stopped, pause_seconds, files})      facts for the record; files: the candidate's

Nothing here knows keys, mailbox or leases.
"""
from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from edge_sleep.config import Config
from edge_sleep.errors import EdgeSleepError, IntegrityError, StorageError
from edge_sleep.model.base import BaseSource, fingerprint, resolve
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import TEMPORARY, new_folder, publish_folder, storage_errors, write_json
from edge_sleep.thor import bundle, job, training
from edge_sleep.thor.bases import Bases
from edge_sleep.thor.job import Job
from edge_sleep.thor.training import RECEIVED, WORK
from edge_sleep.train import state as training_state

Item = tuple[str, dict[str, Any]]
# A webhook's URL is none of a node's business.
_SECTIONS = {"companion", "data", "lora", "train", "budget", "thermal", "power", "thor"}
_LOOK_SECONDS = 0.1
_LET_GO_SECONDS = 30.0                             # for a training that was cancelled to come to its next boundary


@dataclass(frozen=True)
class Parcel:
    """What a job's task is given. files: of the unpacked bundle, by name; reached: of the step its last node saved, below state/;
    base: its files' hashes and the pieces of each, None where the node is to have it; config: the worker's, as JSON."""

    files: Mapping[str, bytes]
    reached: Mapping[str, bytes]
    config: dict[str, Any]
    base: Mapping[str, tuple[str, Sequence[Any]]] | None = None
    fetch: Callable[[Any], bytes] = lambda piece: piece


def settings(own: Config) -> dict[str, Any]:
    """Of a worker's configuration, what a node needs, as it travels. A job's threads are the CPUs it has of its node."""
    train = own.train.model_copy(update={"threads": max(1, own.train.threads)})
    return own.model_copy(update={"train": train}).model_dump(mode="json", include=_SECTIONS)


def cache_folder(config: Config) -> Path:
    """thor.node_cache, else the user's cache folder (XDG)."""
    if config.thor.node_cache:
        return Path(config.thor.node_cache).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "edge-sleep"


def do(parcel: Parcel, node: str) -> Iterator[Item]:
    """Train one job here. node: its id in the cluster. Closing the generator, or an interrupt in it, ends the training."""
    yield "started", {"node": node, "host": socket.gethostname(), "pid": os.getpid()}
    config = Config.model_validate(parcel.config)
    root = cache_folder(config)
    try:
        asked = job.read(parcel.files[bundle.JOB], Job, "the job")
        place = _base(asked, config, root / "bases", parcel)
        if place is None:
            yield "wanted", {}
            return
        with _folder(root / "jobs", asked.id) as folder:
            _lay_down(folder, parcel)
            yield from _train(asked, folder, place, config, root)
    except StorageError as error:
        yield "unfit", {"reason": error.message}
    except EdgeSleepError as error:
        yield "failed", {"kind": type(error).__name__, "message": error.message, "do": error.do}


def _train(asked: Job, folder: Path, place: BaseSource, config: Config, root: Path) -> Iterator[Item]:
    """The training in a thread of its own, its events and saved steps as they come."""
    items: SimpleQueue[Item] = SimpleQueue()
    stop: list[str] = []
    clock, state = Clock(), folder / WORK / "state"

    def heard(entry: dict[str, Any]) -> None:
        items.put(("event", {key: value for key, value in entry.items() if key != "at"}))

    def work() -> None:
        try:
            ended = training.train(asked, folder, place, config, root / "quantised", clock, EventLog(None, clock, heard),
                                   lambda: stop[0] if stop else None)
            files = {} if ended.candidate is None else {
                name: file.read_bytes() for name, file in bundle.files_of_a_candidate(state).items()}
            items.put(("ended", {"facts": ended.facts(), "stopped": ended.stopped, "pause_seconds": ended.pause_seconds,
                                 "files": files}))
        except EdgeSleepError as error:
            items.put(("failed", {"kind": type(error).__name__, "message": error.message, "do": error.do}))
        except BaseException as error:             # a bug, or an interpreter that ends: the task must end too, with its reason
            items.put(("failed", {"kind": "Bug", "message": f"{type(error).__name__}: {error}", "do": ""}))

    thread = threading.Thread(target=work, name="training", daemon=True)
    thread.start()
    sent = None if (first := training_state.latest(state)) is None else first.name
    try:
        while True:
            try:
                item = items.get(timeout=_LOOK_SECONDS)
            except Empty:
                item = None
            if item is not None:
                yield item
                if item[0] in ("ended", "failed"):
                    return
            saved = training_state.latest(state)
            if saved is not None and saved.name != sent and (files := _saved(state, saved)):
                sent = saved.name
                yield "state", files
    finally:
        stop.append("the worker took it back")
        thread.join(_LET_GO_SECONDS)


def _saved(state: Path, step: Path) -> dict[str, bytes]:
    """A step's files and what training began with; nothing where the next step has just replaced it."""
    try:
        files = {f"{step.name}/{file.name}": file.read_bytes() for file in sorted(step.iterdir())}
        return files | {"training.json": (state / "training.json").read_bytes()}
    except FileNotFoundError:
        return {}


def _lay_down(folder: Path, parcel: Parcel) -> None:
    for place, files in ((folder / RECEIVED, parcel.files), (folder / WORK / "state", parcel.reached)):
        for name, content in files.items():
            file = place / name
            with storage_errors(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)


@contextmanager
def _folder(jobs: Path, name: str) -> Iterator[Path]:
    """A folder for one job, gone afterwards; so are those of processes that were killed, whose locks died with them."""
    with storage_errors(jobs):
        jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in jobs.glob("*.lock"):
            _sweep(left)
        mine = jobs / f"{name}-{os.getpid()}"
        with open(jobs / f"{mine.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(mine, ignore_errors=True)
            mine.mkdir(mode=0o700)
            try:
                yield mine
            finally:
                shutil.rmtree(mine, ignore_errors=True)
                Path(lock.name).unlink(missing_ok=True)


def _sweep(lock: Path) -> None:
    try:
        with open(lock, "r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return                                     # somebody works there, or has swept it


_known: dict[tuple[str, ...], Bases] = {}          # hashed once a process


def _base(asked: Job, config: Config, bases: Path, parcel: Parcel) -> BaseSource | None:
    """This node's copy: of thor.bases, or placed here once; None where it is to be sent along. Raises StorageError,
    IntegrityError."""
    models = config.thor.bases
    own = _known.setdefault(models, Bases(models, config.companion.allow_download, lambda text: None))
    if (found := own.of(asked.base.sha256)) is not None:
        return found
    final = bases / asked.base.sha256
    with storage_errors(final):
        bases.mkdir(parents=True, exist_ok=True)
        with open(bases / f"{asked.base.sha256}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)       # of several jobs that come at once, one places it
            if not final.is_dir():
                if parcel.base is None:
                    return None
                for left in bases.glob(f"{TEMPORARY}{final.name}.*"):
                    shutil.rmtree(left)            # of one that was killed while it placed this base: the lock is ours
                _place(final, parcel.base, parcel.fetch)
    return _verified(final, asked.base.sha256)


_verified_once: set[str] = set()


def _verified(folder: Path, sha256: str) -> BaseSource:
    place = resolve(str(folder))
    if sha256 not in _verified_once:
        if (found := fingerprint(place)[0]) != sha256:
            shutil.rmtree(folder, ignore_errors=True)
            raise IntegrityError(f"the base that was placed on this node is {found[:12]}, not {sha256[:12]}; it is removed",
                                 "it is placed anew with the next job")
        _verified_once.add(sha256)
    return place


def _place(final: Path, base: Mapping[str, tuple[str, Sequence[Any]]], fetch: Callable[[Any], bytes]) -> None:
    """Write a base's files piece by piece, each held against its sha256, and give the folder its name last."""
    with new_folder(final) as staged:
        for name, (sha256, pieces) in base.items():
            digest, file = hashlib.sha256(), staged / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "wb") as out:
                for piece in pieces:
                    content = fetch(piece)
                    digest.update(content)
                    out.write(content)
            if digest.hexdigest() != sha256:
                raise IntegrityError(f"{name} of the base arrived with another sha256", "it is placed anew with the next job")
        write_json(staged / "placed.json", {"format": 1, "files": {name: sha256 for name, (sha256, _) in base.items()}})
        publish_folder(staged, final)
