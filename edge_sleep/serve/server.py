"""`edge-sleep serve`: the engine behind an HTTP server, until a signal ends it."""
from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from edge_sleep.config import Config
from edge_sleep.errors import DeviceError, UsageError
from edge_sleep.serve import access
from edge_sleep.system.home import Home
from edge_sleep.system.signals import Signals

_GRACE_SECONDS = 10                       # for answers that are being given when a signal comes
_HEADERS_AT_ONCE = 32                     # connections beyond those that wait: health, metrics, who reads an answer


def run(home: Home, config: Config, tell: Callable[[str], None]) -> dict[str, Any]:
    """Serve until SIGTERM or SIGINT; returns what was done. `tell` gets what a person at the terminal should know.

    Raises DeviceError without the extra [serve], UsageError for an address that cannot be had, and what loading raises.
    """
    try:
        import prometheus_client  # noqa: F401
        import uvicorn

        from edge_sleep.serve import api
    except ImportError as error:
        raise DeviceError(f"`edge-sleep serve` needs {error.name}, which is not installed",
                          "pip install 'edge_sleep[serve]'") from error
    from edge_sleep.serve.engine import Engine
    from edge_sleep.serve.metrics import Metrics

    settings = config.serve
    asks_token = settings.token == "always" or not access.is_loopback(settings.host)
    token = access.token_of(home) if asks_token else None
    metrics = Metrics()
    with _listening(settings.host, settings.port) as listener, Signals() as signals:
        engine = Engine(home, config, metrics, tell)
        engine.start()
        try:
            if token is not None:
                tell(f"asks for the token in {home.keys / access.TOKEN}")
            place = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{listener.getsockname()[1]}/v1"
            tell(f"serving {engine.state.identity['adapter'] or 'the base as it is'} at {place}" if engine.state.identity
                 else f"serving at {place}")
            server = uvicorn.Server(uvicorn.Config(
                api.app(engine, access.Access(token), metrics, settings, tell), loop="asyncio", http="h11", ws="none",
                lifespan="off", log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_SECONDS,
                limit_concurrency=settings.queue + _HEADERS_AT_ONCE))
            if signals.received is None:
                server.run(sockets=[listener])
        finally:
            engine.stop()
    return {"requests": _total(metrics, "edge_sleep_requests"), "tokens": _total(metrics, "edge_sleep_tokens"),
            "swaps": _total(metrics, "edge_sleep_swaps"), "recorded": _total(metrics, "edge_sleep_recorded_exchanges")}


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(found[0], found[1])
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[4])
            listener.listen()                  # whoever reads the address may ask at once, and waits
        except BaseException:
            listener.close()
            raise
        return listener
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror or error}",
                         "choose another with --port, or end what listens there") from error


def _total(metrics: Any, name: str) -> int:
    return int(sum(sample.value for metric in metrics.registry.collect() if metric.name == name
                   for sample in metric.samples if sample.name == f"{name}_total"))
