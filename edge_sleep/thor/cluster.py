"""An existing Ray cluster, met by name: whether it answers, what its nodes have, and every way in which it is not what is needed.

This is the one module that imports Ray, in `connect`. Ray's own first look waits for minutes at an address where nobody answers,
or somebody else; so who answers is looked at before.
"""
from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import edge_sleep
from edge_sleep.errors import DeviceError

CONNECT_SECONDS = 5.0
# HTTP/2 as the head's server speaks it: our preface with empty settings; its answer begins with a frame of settings (type 4).
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
_SETTINGS = 4


@dataclass(frozen=True)
class Need:
    """What one job takes of a node."""

    cpus: float
    gpus: float
    memory_bytes: int

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU, {self.gpus:g} GPU and {self.memory_bytes / 2**20:.0f} MiB"

    def slots(self, free: Mapping[str, float]) -> int:
        """How many such jobs fit into these resources (Ray's names)."""
        wanted = (("CPU", self.cpus), ("GPU", self.gpus), ("memory", float(self.memory_bytes)))
        return min(int(free.get(name, 0.0) / amount + 1e-9) for name, amount in wanted if amount > 0)


@dataclass(frozen=True)
class Node:
    """A node that is alive; resources by Ray's names, memory in bytes."""

    id: str
    host: str
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> int:
        return int(self.resources.get("memory", 0))

    def __str__(self) -> str:
        return f"{self.host} ({self.id[:8]})"


def largest(nodes: Iterable[Node]) -> Node | None:
    """By memory, which is what a job needs much of."""
    return max(nodes, key=lambda node: (node.memory_bytes, node.id), default=None)


def why_on_none(need: Need, nodes: list[Node], growing_to_bytes: int = 0) -> str | None:
    """Why a job can never run on this cluster; None where some node could have it, or may come that could."""
    if need.memory_bytes <= growing_to_bytes or any(need.slots(node.resources) for node in nodes):
        return None
    there = "; ".join(f"{node} has {node.resources.get('CPU', 0):g} CPU, {node.resources.get('GPU', 0):g} GPU and "
                      f"{node.memory_bytes / 2**20:.0f} MiB" for node in sorted(nodes, key=lambda one: -one.memory_bytes)[:3])
    return f"larger than any node of the cluster: it needs {need}; {there or 'no node is there'}"


class Cluster:
    """A connection to a cluster, as a driver of it. Raises DeviceError in `connect`."""

    def __init__(self, ray: Any, address: str):
        self.ray, self.address = ray, address

    @classmethod
    def connect(cls, address: str) -> Cluster:
        """address: `auto`, or HOST:PORT of the head. Raises DeviceError naming what is in the way, within seconds."""
        _installed()
        if address != "auto":
            _answers(address)
        ray = _imported()
        try:
            with _own_signals():
                _lets_in(address)
                ray.init(address=address, namespace="edge_sleep", log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
            raise _named(address, error) from error
        return cls(ray, address)

    def nodes(self) -> list[Node]:
        return [Node(found["NodeID"], found["NodeManagerHostname"], found["Resources"])
                for found in self.ray.nodes() if found["Alive"]]

    def free(self) -> Mapping[str, float]:
        return self.ray.available_resources()

    def close(self) -> None:
        with _own_signals():
            self.ray.shutdown()


def _installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise DeviceError("thor.engine is ray, and Ray is not installed",
                          "pip install 'edge_sleep[ray]', of the cluster's version; or `--engine local`")


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")          # nothing leaves the machine unless it was switched on
    import ray
    import ray.exceptions

    return ray


def _answers(address: str) -> None:
    """Raises DeviceError where no server of Ray's kind answers at HOST:PORT."""
    host, _, port = address.rpartition(":")
    do = "start it with `ray start --head --port 6379`, or name another in thor.ray_address"
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS) as there:
            if os.environ.get("RAY_USE_TLS", "0") == "1":
                return
            there.settimeout(CONNECT_SECONDS)
            there.sendall(_PREFACE)
            found = there.recv(9)
    except (OSError, OverflowError) as error:
        raise DeviceError(f"no Ray cluster answers at {address}: {getattr(error, 'strerror', None) or error}", do) from error
    if len(found) < 4 or found[3] != _SETTINGS:
        raise DeviceError(f"what answers at {address} is no head of a Ray cluster", do)


def _lets_in(address: str) -> None:
    """Raises Ray's AuthenticationError where a token is wanted that is not ours; `ray.init` asks on for minutes then, silently.

    These are Ray's own insides. Where another version has none of this kind, its `init` is left to find out.
    """
    try:
        found = importlib.import_module("ray._private.services").canonicalize_bootstrap_address
        client = importlib.import_module("ray._raylet").GcsClient
        refused = importlib.import_module("ray.exceptions").AuthenticationError
    except (ImportError, AttributeError):
        return
    try:
        client(address=found(address)).internal_kv_get(b"edge_sleep", b"edge_sleep", timeout=CONNECT_SECONDS)
    except refused:
        raise
    except Exception:                              # whatever it is, `init` meets it too, and names it better
        return


def _named(address: str, error: Exception) -> DeviceError:
    """Ray's reason for not letting a driver in, by name."""
    said = " ".join(str(error).split())
    if "ersion mismatch" in said:
        return DeviceError(f"the cluster at {address} has another Ray or Python: {said[:400]}",
                           "give worker and cluster the same ray and the same Python, to the patch")
    if "InvalidAuthToken" in said:
        asked = os.environ.get("RAY_AUTH_MODE") == "token"
        mine = "does not know this worker's token" if asked else "lets nobody in without its token"
        return DeviceError(f"the cluster at {address} {mine}",
                           "RAY_AUTH_MODE=token for this command, and the head's ~/.ray/auth_token here")
    if address == "auto" and "ould not find any running Ray" in said:
        return DeviceError("no Ray cluster runs on this machine",
                           "start one with `ray start --head`, or name one in thor.ray_address")
    return DeviceError(f"the cluster at {address} does not take this worker in: {said[:400]}",
                       "a worker must run on a machine that is a node of the cluster: `ray start --address=HEAD:PORT` there")


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray sets handlers of its own; ours save what was reached."""
    try:
        kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:
        kept = {}
    try:
        yield
    finally:
        for number, handler in kept.items():
            try:
                signal.signal(number, handler)
            except ValueError:                     # not the main thread: then Ray has set none
                break


def entry(version: str = edge_sleep.__version__) -> Callable[..., Iterator[tuple[str, dict[str, Any]]]]:
    """The function that runs on a node. It travels by value, so that a node without edge_sleep, or with another, can say so.

    Ray puts the driver's working directory before a node's own packages; what happens to lie there must not be what trains.
    """
    ours = {os.path.abspath(os.path.curdir), os.path.dirname(os.path.realpath(sys.argv[0]))}

    def train_there(files: Mapping[str, bytes], reached: Mapping[str, bytes], config: dict[str, Any],
                    base: Mapping[str, Any] | None) -> Iterator[tuple[str, dict[str, Any]]]:
        import os
        import sys

        import ray

        own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:] = [place for place in sys.path if place not in ours or place in own]
        if not ray.get_gpu_ids():
            os.environ["CUDA_VISIBLE_DEVICES"] = ""        # Ray leaves those it did not give in sight
        name = ray.get_runtime_context().get_node_id()
        try:
            import edge_sleep
        except ImportError:
            yield "unfit", {"node": name, "reason": "edge_sleep is not installed there: pip install it on every node"}
            return
        do = f"the worker has {version}: install the same on both"
        if edge_sleep.__version__ != version:
            yield "unfit", {"node": name, "reason": f"it has edge_sleep {edge_sleep.__version__}, {do}"}
            return
        try:
            from edge_sleep.thor import node
        except ImportError as error:
            yield "unfit", {"node": name, "reason": f"its edge_sleep {version} is not this one ({error}); {do}"}
            return
        yield from node.do(node.Parcel(files, reached, config, base, ray.get), name)

    return train_there
