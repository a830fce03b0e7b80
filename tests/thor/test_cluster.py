"""Clusters that are not what is needed: each said by name, within seconds, and without Ray where Ray is not reached."""
from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_sleep.errors import DeviceError
from edge_sleep.thor import cluster
from edge_sleep.thor.cluster import Cluster, Need, Node, why_on_none

GIB = 2**30
SMALL = Node("a" * 56, "small", {"CPU": 4.0, "memory": 2.0 * GIB})
LARGE = Node("b" * 56, "large", {"CPU": 16.0, "GPU": 2.0, "memory": 64.0 * GIB})


@pytest.mark.parametrize("need, free, slots", [
    (Need(1, 0, GIB), {"CPU": 4.0, "memory": 2.0 * GIB}, 2), (Need(1, 0, GIB), {"CPU": 1.0, "memory": 64.0 * GIB}, 1),
    (Need(1, 1, GIB), {"CPU": 4.0, "memory": 64.0 * GIB}, 0), (Need(1, 0.25, GIB), {"CPU": 9.0, "GPU": 2.0, "memory": 64.0 * GIB}, 8),
    (Need(1, 0, GIB), {}, 0)])
def test_how_many_jobs_fit(need: Need, free: dict[str, float], slots: int) -> None:
    assert need.slots(free) == slots


@pytest.mark.parametrize("need, nodes, growing, why", [
    (Need(1, 0, GIB), [SMALL, LARGE], 0, None), (Need(1, 0, 8 * GIB), [SMALL, LARGE], 0, None),
    (Need(1, 0, 8 * GIB), [SMALL], 0, "needs 1 CPU, 0 GPU and 8192 MiB; small (aaaaaaaa) has 4 CPU, 0 GPU and 2048 MiB"),
    (Need(1, 1, GIB), [SMALL], 0, "larger than any node"), (Need(1, 0, 8 * GIB), [SMALL], 16 * GIB, None),
    (Need(32, 0, GIB), [SMALL, LARGE], 0, "needs 32 CPU"), (Need(1, 0, GIB), [], 0, "no node is there")])
def test_a_job_larger_than_any_node(need: Need, nodes: list[Node], growing: int, why: str | None) -> None:
    found = why_on_none(need, nodes, growing)
    assert found is None if why is None else why in (found or "")


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """Somebody at an address; None: who takes the call and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(4)

        def talk() -> None:
            try:
                there, _ = server.accept()
                with there:
                    if answer is not None:
                        there.recv(64)
                        there.sendall(answer)
                    there.recv(1)
            except OSError:
                return

        threading.Thread(target=talk, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("answer, why", [(None, "no Ray cluster answers at"),
                                         (b"HTTP/1.1 400 Bad Request\r\n", "is no head of a Ray cluster")])
def test_who_answers_is_no_cluster(answer: bytes | None, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with listener(answer) as address, pytest.raises(DeviceError, match=why) as caught:
        Cluster.connect(address)
    assert "ray start --head" in caught.value.do


def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(DeviceError, match=f"no Ray cluster answers at {address}: Connection refused"):
        Cluster.connect(address)
    assert time.monotonic() - began < 10               # Ray's own look takes minutes


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeviceError, match="Ray is not installed") as caught:
        Cluster.connect("auto")
    assert "edge_sleep[ray]" in caught.value.do


class Refusing:
    """A Ray that does not let us in, and says why as Ray does."""

    def __init__(self, error: Exception):
        self.error = error
        self.exceptions = type("exceptions", (), {"RayError": type("RayError", (Exception,), {})})

    def init(self, **options: object) -> None:
        raise self.error


@pytest.mark.parametrize("error, why, do", [
    (RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.3\nThis process on node 192.0.2.1 was "
                  "started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"), "another Ray or Python: .*Ray: 2.50.0 Python: 3.12.3", "the same ray"),
    (ConnectionError("Could not find any running Ray instance. Please specify the one to connect to by setting `address`."),
     "no Ray cluster runs on this machine", "ray start --head"),
    (RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing or incorrect."), "lets nobody in without its token",
     "RAY_AUTH_MODE=token"),
    (RuntimeError("Can't find a `node_ip_address.json` file"), "does not take this worker in", "a node of the cluster")])
def test_ray_s_own_reasons_have_names(error: Exception, why: str, do: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_imported", lambda: Refusing(error))
    monkeypatch.setattr(cluster, "_lets_in", lambda address: None)     # the installed Ray's, not this one's
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(DeviceError, match=why) as caught:
        Cluster.connect("auto")
    assert do in caught.value.do
