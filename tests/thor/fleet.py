"""Many companions' homes with a micro-night's job each, one worker, and a Ray cluster of this machine's own processes.

`python -m tests.thor.fleet CACHE...` is such a cluster, and prints its address.

The jobs are what `stages/ship.py` packs, made from one lesson: what a fleet does to them is tried here, not how a night comes to ship.
"""
from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from edge_sleep.config import Config, load
from edge_sleep.data.experience import Example
from edge_sleep.model.base import QUANTISATION, BaseSource, fingerprint
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.thor import bundle, job, ledger, verify
from edge_sleep.thor.engine import Engine
from edge_sleep.thor.mailbox import RESULT_LIMIT_BYTES, Mailbox
from edge_sleep.thor.worker import Worker
from edge_sleep.train import state as training_state
from tests import micro
from tests.thor import machines

ROOT = Path(__file__).parents[2]


def examples(epochs: int = 4) -> list[Example]:
    return [Example(({"role": "user", "content": prompt}, {"role": "assistant", "content": response}), 1.0, "new", f"{n:016x}", epoch=epoch)
            for epoch in range(epochs) for n, (prompt, response) in enumerate(micro.TALK)]


@dataclass
class Fleet:
    """A mailbox, a worker's home, and homes that are paired with it. sent: job ids by home."""

    root: Path
    model: Path
    workers: tuple[str, ...] = ("thor",)
    sent: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mailbox = self.root / "mailbox"
        self.mailbox.mkdir(parents=True)
        self.clock = Clock()
        self.homes = {name: Home(self.root / name).make() for name in self.workers}
        self.keys = {name: Keys.open(self.homes[name].keys, name) for name in self.workers}

    def box(self, name: str) -> Mailbox:
        return Mailbox(FolderRemote(self.mailbox, clock=self.clock), self.keys[name], self.clock)

    def send(self, name: str, jobs: int = 1, morning: datetime | None = None, epochs: int = 4, base: str | None = None) -> None:
        """Jobs of one home, in the mailbox. epochs: how long each takes."""
        if name not in self.keys:
            self.keys[name] = Keys.open(self.root / name / "keys", name)
            for worker in self.workers:
                self.keys[name].add(self.keys[worker].own)
                self.keys[worker].add(self.keys[name].own)
        state = self.root / name / "lesson"
        training_state.write_examples(state, examples(epochs))
        files = bundle.files_of_a_night(state, None, None)
        settings = load(None, [*micro.SETS, f"train.epochs={epochs}"])
        sha256 = base or fingerprint(BaseSource(str(self.model), self.model))[0]
        for _ in range(jobs):
            number = len(self.sent.setdefault(name, []))
            asked = job.make(
                home=self.keys[name].own.id, night=f"20260117-{number:04}", parent=None, experiences=(), files=job.listed(files),
                base=job.BaseOf(source=str(self.model), sha256=base or sha256, quantisation=QUANTISATION, compute_dtype="float32"),
                settings=job.Settings(lora=settings.lora, train=settings.train, system_prompt="You listen.", max_tokens=128),
                fit=job.FitOf(loss_chunk=512, checkpointing=True, micro_batch=2), training_seconds=10.0, budget_seconds=3600.0,
                deadline="2026-01-18T06:00:00+00:00", resume_step=None, versions={})
            plain, sealed = state / "bundle.zip", state / "bundle.sealed"
            (state / f"{asked.id}.json").write_bytes(job.written(asked))
            bundle.pack(asked, files, plain)
            to = [self.keys[worker].own for worker in self.workers]
            envelope.seal(plain, sealed, self.keys[name], to, f"job:{asked.id}")
            self.box(name).offer(asked.id, sealed, to, state / "note", morning)
            self.sent[name].append(asked.id)

    def settings(self, *sets: str) -> tuple[str, ...]:
        return (f"thor.mailbox=folder:{self.mailbox}", f"thor.bases={json.dumps([str(self.model)])}", "thor.lease=20s",
                "train.threads=1", "train.state_every=0s", "thermal.source=none", *sets)

    def config(self, *sets: str) -> Config:
        return load(None, self.settings(*sets))

    def worker(self, name: str = "thor", *sets: str, engine: Engine | None = None, said: list[str] | None = None) -> Worker:
        config = self.config(*sets)
        tell = (lambda text: None) if said is None else said.append
        return Worker(self.homes[name], config, lambda: self.box(name), tell, engine=engine)

    def records(self, name: str = "thor") -> dict[str, dict[str, Any]]:
        return {one["job"]: one for one in ledger.records(self.homes[name], "worker")}

    def names(self, asked: str) -> set[str]:
        return {file.name for file in (self.mailbox / "jobs" / asked).iterdir()}

    def answered(self) -> int:
        return len(list(self.mailbox.glob("jobs/*/result.json")))

    def believed(self, name: str, asked_id: str) -> str:
        """The candidate of a job's one result, looked at as its home looks at it. Raises RemoteRefused."""
        assert sum(file.startswith("result-") for file in self.names(asked_id)) == 1, "one job, one result"
        asked = job.read((self.root / name / "lesson" / f"{asked_id}.json").read_bytes(), job.Job, "job")
        box, workers = self.box(name), [self.keys[worker].own.id for worker in self.workers]
        answer = box.answer(asked_id, workers)
        assert answer is not None
        into = self.root / name / "came" / asked_id
        into.mkdir(parents=True, exist_ok=True)
        box.fetch(asked_id, answer.blob, answer.size_bytes, RESULT_LIMIT_BYTES, into / "result.sealed")
        signer = envelope.unseal(into / "result.sealed", into / "result.zip", box.keys, f"result:{asked_id}", RESULT_LIMIT_BYTES)
        came = bundle.unpack_result(into / "result.zip", into / "content")
        verify.check(came, into / "content", asked, signer.id, None, self.model)
        return came.candidate


# Ray gives its own processes half a minute to start; beside other tests, on two cores, that is not enough.
PATIENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "600000", "RAY_worker_register_timeout_seconds": "600",
           "RAY_gcs_server_port_wait_time_s": "600", "RAY_health_check_timeout_ms": "60000", "RAY_worker_niceness": "0",
           "PYTHONPATH": str(ROOT)}


def add_node(made: Any, cache: Path, cpus: int = 1, memory: int = 4 << 30) -> Any:
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    return made.add_node(num_cpus=cpus, memory=memory, object_store_memory=100 << 20, include_dashboard=False, no_monitor=True,
                         include_log_monitor=False, runtime_env_agent_port=port,
                         env_vars={"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"})


@contextmanager
def cluster(*caches: Path) -> Iterator[Any]:
    """A Ray cluster with a node of one CPU for each cache folder; its processes are ended whatever happens."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        from ray._private import node, services
        from ray.cluster_utils import Cluster

        look = services.get_node

        def patient(*given: Any, **named: Any) -> Any:
            return machines.until(lambda: _unless_runtime_error(look, *given, **named), what="a raylet that registers")

        patch.setattr(services, "get_node", patient)
        start = node.Node.start_raylet

        def told(self: Any, *given: Any, **named: Any) -> Any:
            """A raylet ends after fifteen seconds without these files, which its agents write once they have been imported."""
            for name in ("dashboard_agent_listen_port", "metrics_agent_port", "metrics_export_port"):
                (Path(self.get_session_dir_path()) / f"{name}_{self.node_id}").write_text("-1")
            return start(self, *given, **named)

        patch.setattr(node.Node, "start_raylet", told)
        made = Cluster()
        try:
            for cache in caches:
                add_node(made, cache)
            yield made
        finally:
            made.shutdown()


def _unless_runtime_error(call: Any, *given: Any, **named: Any) -> Any:
    try:
        return call(*given, **named)
    except RuntimeError:
        return None


if __name__ == "__main__":                         # a cluster in an environment of its own, until our input ends
    with cluster(*map(Path, sys.argv[1:])) as running:
        print(running.address, flush=True)
        sys.stdin.read()
