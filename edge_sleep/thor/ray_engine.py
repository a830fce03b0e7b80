"""Jobs trained on a Ray cluster: one task each, with the GPUs and the memory that the planner says, where Ray finds room.

The worker is the cluster's driver and stays the only one that knows keys, mailbox and leases. Files go to a node and come back
through the object store. A task saves its steps by sending them; so where its node or its process dies it is begun again from the
last of them, by this module and not by Ray, whose own retry could only repeat what the task was first given. Nothing a node does
is seen outside before the worker publishes it, once.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_sleep import errors
from edge_sleep.config import Config
from edge_sleep.errors import Busy, DoesNotFit, EdgeSleepError, RemoteRefused
from edge_sleep.model import shape
from edge_sleep.model.base import INT8_EMBEDDING, BaseSource, fingerprint
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import sha256_file, write_sealed
from edge_sleep.thor import bundle, ledger, node, training
from edge_sleep.thor.bases import Bases
from edge_sleep.thor.carried import files_of_a_base, keep, pieces, reached, stage
from edge_sleep.thor.cluster import Cluster, Need, Node, entry, largest, why_on_none
from edge_sleep.thor.engine import End, base_of
from edge_sleep.thor.held import TRIES, Held
from edge_sleep.thor.job import Job
from edge_sleep.thor.received import check_examples, check_settings
from edge_sleep.thor.training import RECEIVED, Ended
from edge_sleep.train import forecast, planner

_NODES_SECONDS, _FREE_SECONDS = 5.0, 0.5           # for which what is known of the cluster is good
_FORCE_SECONDS = 45.0                              # after which a task that was cancelled is killed
_STOP_SECONDS = 10.0                               # that tasks are heard after the worker is to end


@dataclass
class _Work:
    """A job that is on the cluster. stream: what its task says; files: of its bundle, in the object store."""

    held: Held
    place: BaseSource
    need: Need
    files: Any
    stream: Any = None
    node: str | None = None                        # None: it waits for one
    with_base: bool = False
    cancelled: float | None = None                 # monotonic
    forced: bool = False
    refused: dict[str, str] = field(default_factory=dict)      # nodes on which it did not fit


class RayEngine:
    """An engine (thor/engine.py) of many nodes. Raises DeviceError where no cluster takes it in."""

    name, alone = "ray", False

    def __init__(self, config: Config, clock: Clock, tell: Callable[[str], None]):
        self.config, self.clock, self.tell = config, clock, tell
        self.bases = Bases(config.thor.bases, config.companion.allow_download, tell)
        self.cluster = Cluster.connect(config.thor.ray_address)
        self.ray = self.cluster.ray
        self.unfit: dict[str, str] = {}            # nodes that can do no job, and why
        self.placed = 0                            # bases that were sent along, by job
        self._task = self.ray.remote(entry())
        self._works: list[_Work] = []
        self._last: Need | None = None
        self._bases_in_store: dict[str, dict[str, tuple[str, list[Any]]]] = {}
        self._nodes: tuple[float, list[Node]] | None = None
        self._free: tuple[float, Mapping[str, float]] | None = None

    def nodes(self) -> list[Node]:
        """Those that are alive and fit for a job."""
        now = self.clock.monotonic()
        if self._nodes is None or now - self._nodes[0] > _NODES_SECONDS:
            self._nodes = (now, self.cluster.nodes())
        return [one for one in self._nodes[1] if one.id not in self.unfit]

    def busy(self) -> str | None:
        if self.nodes() or self.config.thor.node_bytes:
            return None
        why = "; ".join(f"{name[:8]}: {reason}" for name, reason in self.unfit.items())
        return f"no node of the cluster can do a job: {why or 'none is alive'}"

    def room(self) -> bool:
        """One task may wait for a node, so that none of them does."""
        unstarted = sum(work.node is None for work in self._works)
        if self._last is None:
            return unstarted == 0
        now = self.clock.monotonic()
        if self._free is None or now - self._free[0] > _FREE_SECONDS:
            self._free = (now, self.cluster.free())
        return unstarted < 1 + self._last.slots(self._free[1])

    def begin(self, held: Held) -> None:
        asked, place = held.job, base_of(held.job, self.bases)
        plan = self._plan(held, asked, place)
        need = self._need(plan)
        if why := why_on_none(need, self.nodes(), self.config.thor.node_bytes):
            raise DoesNotFit(why, "give the cluster a node that has so much, or name one it may grow to in thor.node_bytes")
        held.events("plan", **plan.as_json())
        if asked.resume_step is None and not (held.state / "training.json").is_file():
            write_sealed(held.state / "training.json", asdict(plan.fit))
        files = {str(file.relative_to(held.folder / RECEIVED)): file.read_bytes()
                 for file in sorted((held.folder / RECEIVED).rglob("*")) if file.is_file()}
        try:
            work = _Work(held, place, need, self.ray.put(files), with_base=asked.base.sha256 in self._bases_in_store)
            self._submit(work)
        except self.ray.exceptions.RayError as error:
            why = " ".join(str(error).split())[:200]
            raise Busy(f"the cluster takes no job: {why}", "look at its head, and at its object store") from error
        self._last = need
        self._works.append(work)

    def ended(self) -> list[tuple[Held, End]]:
        found: list[tuple[Held, End]] = []
        for work in self._works:
            if work.held.heart.lost is not None:
                self._cancel(work)
        streams = [work.stream for work in self._works]
        speaking = set(self.ray.wait(streams, num_returns=len(streams), timeout=0)[0]) if streams else set()
        for work in [one for one in self._works if one.stream in speaking]:
            end = self._heard(work)
            if end is not None:
                self._works.remove(work)
                found.append((work.held, end))
        in_use = {work.held.job.base.sha256 for work in self._works}
        for sha256 in set(self._bases_in_store) - in_use:
            del self._bases_in_store[sha256]       # nodes keep their copies; the store is for what is on its way
        return found

    def holds(self) -> list[Held]:
        return [work.held for work in self._works]

    def stop(self) -> None:
        for work in self._works:
            self._cancel(work)
        until = self.clock.monotonic() + _STOP_SECONDS
        while self._works and self.clock.monotonic() < until:
            self.ended()
            self.clock.sleep(0.1)
        self._works.clear()
        self.cluster.close()

    # One job.

    def _plan(self, held: Held, asked: Job, place: BaseSource) -> planner.Plan:
        """What it will take, of the largest node there is. Raises RemoteRefused, DoesNotFit."""
        check_settings(asked)
        lesson = check_examples(held.folder / RECEIVED / bundle.EXAMPLES, asked.settings.train.epochs)
        config, kind = training.settings(asked, self.config), "gpu" if self._gpus() else "cpu"
        best = largest(one for one in self.nodes() if kind == "cpu" or one.resources.get("GPU"))
        most = max(self.config.thor.node_bytes, 0 if best is None else best.memory_bytes)
        mean, longest = forecast.tokens(lesson)
        plan = planner.plan(shape.read(place.folder), config, examples=sum(one.epoch in (None, 0) for one in lesson),
                            mean_tokens=mean, longest=min(config.data.max_tokens, longest or config.data.max_tokens), device=kind,
                            dtype=asked.base.compute_dtype, available_bytes=most, cores=max(1, config.train.threads),
                            measured_tokens_per_second=None, int8_embedding=asked.base.quantisation == INT8_EMBEDDING,
                            gpus=self._most_gpus(kind), others_wait=True)
        if plan.where == "none":
            raise DoesNotFit(f"larger than any node of the cluster: {plan.choices[0]['reason']}",
                             "give the cluster a larger node, or name one it may grow to in thor.node_bytes")
        return plan

    def _gpus(self) -> float:
        if self.config.thor.gpus != "auto":
            return self.config.thor.gpus
        return 1.0 if any(one.resources.get("GPU") for one in self.nodes()) else 0.0

    def _most_gpus(self, kind: str) -> int | None:
        """Of one node, for a job that shares its training (train/several.py); None where several jobs share a GPU."""
        if kind == "cpu":
            return 1
        most = max((int(node.resources.get("GPU", 0)) for node in self.nodes()), default=0)
        return max(1, most) if self.config.thor.gpus in ("auto", 1.0) else None

    def _need(self, plan: planner.Plan) -> Need:
        each, many = max(1, self.config.train.threads), plan.processes
        return Need(float(each * many), self._gpus() * many, plan.peak_bytes * many)

    def _submit(self, work: _Work) -> None:
        """Hand it to Ray: its files, and what was reached of it."""
        held, sha256 = work.held, work.held.job.base.sha256
        base = self._in_store(work) if work.with_base else None
        without = sorted({*self.unfit, *work.refused})
        options: dict[str, Any] = {"label_selector": {"ray.io/node-id": f"!in({','.join(without)})"}} if without else {}
        need = work.need
        work.stream = self._task.options(
            num_returns="streaming", num_cpus=need.cpus, num_gpus=need.gpus, memory=need.memory_bytes, max_retries=0,
            name=f"edge_sleep job {held.offer.job[:12]} base {sha256[:8]}", **options,
        ).remote(work.files, self.ray.put(reached(held.state)), node.settings(self.config), base)
        work.node, work.cancelled, work.forced = None, None, False

    def _in_store(self, work: _Work) -> dict[str, tuple[str, list[Any]]]:
        """The base's files in pieces; put there when the first node lacks it."""
        sha256 = work.held.job.base.sha256
        if sha256 not in self._bases_in_store:
            if (found := fingerprint(work.place)[0]) != sha256:
                raise RemoteRefused(f"the base {work.place.source} changed on the worker's disk: {found[:12]}, not {sha256[:12]}")
            self._bases_in_store[sha256] = {
                str(file.relative_to(work.place.folder)): (sha256_file(file), [self.ray.put(piece) for piece in pieces(file)])
                for file in files_of_a_base(work.place)}
        return self._bases_in_store[sha256]

    def _cancel(self, work: _Work) -> None:
        now = self.clock.monotonic()
        if work.cancelled is None:
            work.cancelled = now
            self.ray.cancel(work.stream)
        elif not work.forced and now - work.cancelled > _FORCE_SECONDS:
            work.forced = True
            self.ray.cancel(work.stream, force=True)

    def _heard(self, work: _Work) -> End | None:
        """All that its task has said since; how it ended, None while it goes on."""
        while True:
            ready, _ = self.ray.wait([work.stream], timeout=0)
            if not ready:
                return None
            try:
                kind, said = self.ray.get(next(work.stream))
                end = self._item(work, kind, said)
            except StopIteration:
                end = EdgeSleepError("its task ended without a word")
            except self.ray.exceptions.RayError as error:
                end = self._broke(work, error)
            except EdgeSleepError as error:        # of this machine: a disk that is full, a base that changed
                end = error
            if end is not None:
                return end

    def _item(self, work: _Work, kind: str, said: dict[str, Any]) -> End | None:
        held = work.held
        if kind == "started":
            work.node = said["node"]
            held.record |= {"node": said["host"]}
            ledger.write(held.home, held.record)
            held.events("node", **said)
        elif kind == "event":
            if said["event"] != "plan":            # the worker's own says what was asked of the cluster
                held.events(**said)
        elif kind == "state":
            keep(held.state, said)
        elif kind == "wanted":
            self.placed += 1
            work.with_base = True
            return self._once_more(work)
        elif kind == "unfit":
            name = said.get("node") or work.node or ""
            self.unfit[name] = said["reason"]
            self.tell(f"node {name[:8]} is left out: {said['reason']}")
            return self._once_more(work)
        elif kind == "failed":
            return self._failed(work, said)
        elif kind == "ended":
            if said["stopped"] is None:
                stage(held.state, said["files"], said["facts"]["candidate"])
            return Ended(said["stopped"], said["pause_seconds"], **said["facts"])
        return None

    def _failed(self, work: _Work, said: dict[str, Any]) -> End | None:
        error = getattr(errors, said["kind"], EdgeSleepError)(said["message"], said["do"])
        if not isinstance(error, DoesNotFit) or work.node is None:
            return error
        work.refused[work.node] = error.message    # what is free on a node is less than Ray counts: another may have it
        left = [one for one in self.nodes() if one.id not in work.refused]
        return error if why_on_none(work.need, left) else self._once_more(work)

    def _once_more(self, work: _Work) -> End | None:
        """To be begun again, by no fault of the job."""
        if work.cancelled is not None:
            return Ended(work.held.heart.lost or "the worker took it back")
        if (busy := self.busy()) is not None:
            return Busy(busy)
        self._submit(work)
        return None

    def _broke(self, work: _Work, error: Exception) -> End | None:
        """Its task ended in an error of Ray's: cancelled, or its process or node is gone, or a bug."""
        ray, held = self.ray.exceptions, work.held
        if work.cancelled is not None or isinstance(error, ray.TaskCancelledError):
            return Ended(held.heart.lost or "the worker took it back")
        said = " ".join(str(error).split())[:300]
        held.events("lost", node=work.node, kind=type(error).__name__, reason=said)
        if isinstance(error, ray.RayTaskError):
            return EdgeSleepError(f"a bug on a node: {said}")
        tries = held.again()
        self._nodes = None
        if tries > TRIES:
            return RemoteRefused(f"{TRIES} processes of the cluster died of it at the same step, the last of "
                                 f"{type(error).__name__}")
        self.tell(f"job {held.offer.job[:12]}: its process on the cluster is gone ({type(error).__name__}); begun again from "
                  f"{held.record['reached'] or 'its beginning'}")
        return self._once_more(work)
