"""What a server counts, for Prometheus. Words are never among it."""
from __future__ import annotations

from typing import Any

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The numbers of one server, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

        def of(kind: Any, name: str, text: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return kind(f"edge_sleep_{name}", text, labels, registry=self.registry, **more)

        self.requests = of(Counter, "requests", "requests by path and HTTP status", ("path", "status"))
        self.tokens = of(Counter, "tokens", "tokens read and made", ("kind",))
        self.answer_seconds = of(Histogram, "answer_seconds", "from the beginning of an answer to its end", buckets=_SECONDS)
        self.first_seconds = of(Histogram, "first_token_seconds", "from the beginning of an answer to its first token",
                                buckets=_SECONDS)
        self.waited_seconds = of(Histogram, "waited_seconds", "from a request to the beginning of its answer", buckets=_SECONDS)
        self.load_seconds = of(Histogram, "load_seconds", "to load base and adapter", buckets=_SECONDS)
        self.swaps = of(Counter, "swaps", "times that other weights answered from then on, the base staying loaded")
        self.recorded = of(Counter, "recorded_exchanges", "exchanges kept for the next night")
        self.waiting = of(Gauge, "waiting_requests", "requests that wait for their turn")
        self.loaded = of(Gauge, "model_loaded", "1 while the model is in memory")
        self.device_held = of(Gauge, "device_held", "1 while this server holds the session lock, so that a night gives way")
        self.problems = of(Gauge, "problems", "what does not verify; 0 where the current adapter answers")
        self.info = of(Gauge, "answering", "1 for the weights that answer now", ("base", "adapter", "runtime", "device"))

    def answering(self, identity: dict[str, Any] | None, problems: int) -> None:
        self.info.clear()
        if identity is not None:
            self.info.labels(identity["base"], identity["adapter"] or "base", identity["runtime"], identity["device"]).set(1)
        self.loaded.set(identity is not None)
        self.problems.set(problems)

    def page(self) -> tuple[bytes, str]:
        """(body, content type) in Prometheus' text form."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
