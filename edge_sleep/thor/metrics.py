"""What a worker counts, for Prometheus, where thor.metrics says an address. No name, no id and no word is among it."""
from __future__ import annotations

from typing import Any

from edge_sleep.errors import DeviceError
from edge_sleep.thor.worker import Worker

_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400)
LOOPBACK = "127.0.0.1"


class Metrics:
    """Context manager: the numbers of one worker, served while it is open. Raises DeviceError where the address cannot be had."""

    def __init__(self, address: str):
        """address: PORT on the loopback, or HOST:PORT; port 0 takes a free one."""
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise DeviceError("thor.metrics needs prometheus-client, which is not installed",
                              "pip install 'edge_sleep[serve]', or `--set thor.metrics=`") from error
        host, _, port = address.rpartition(":")
        self.host, self.port, self.registry = host or LOOPBACK, int(port), CollectorRegistry()
        self._server: Any = None

        def of(kind: Any, name: str, text: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return kind(f"edge_sleep_worker_{name}", text, labels, registry=self.registry, **more)

        self.jobs = of(Counter, "jobs", "jobs that this worker no longer holds, by how they ended", ("end",))
        self.seconds = of(Histogram, "job_seconds", "from a job's lease to its end", buckets=_SECONDS)
        self.waiting = of(Gauge, "waiting_jobs", "jobs that wait in the mailbox, at the last look")
        self.companions = of(Gauge, "waiting_companions", "companions whose jobs wait")
        self.morning = of(Gauge, "next_morning_seconds", "until the next morning of a companion whose job waits; NaN: none said")
        self.held = of(Gauge, "held_jobs", "jobs whose lease this worker has")
        self.nodes = of(Gauge, "nodes", "nodes of the cluster that can do jobs; 1 for a worker of its own machine")

    def __enter__(self) -> Metrics:
        from prometheus_client import start_http_server

        try:
            self._server, _ = start_http_server(self.port, self.host, self.registry)
        except OSError as error:
            raise DeviceError(f"thor.metrics: {self.host}:{self.port} cannot be listened on: {error.strerror}",
                              "name another port") from error
        self.port = self._server.server_address[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def closed(self, record: dict[str, Any]) -> None:
        self.jobs.labels(record["state"].replace(" ", "_")).inc()
        if record.get("worked_seconds") is not None:
            self.seconds.observe(record["worked_seconds"])

    def show(self, worker: Worker) -> None:
        mornings = [turn.until_morning for turn in worker.waiting if turn.until_morning is not None]
        self.waiting.set(len(worker.waiting))
        self.companions.set(len({turn.home for turn in worker.waiting}))
        self.morning.set(min(mornings, default=float("nan")))
        if worker.engine is not None:
            self.held.set(len(worker.engine.holds()))
            self.nodes.set(len(worker.engine.nodes()))
