"""The jtop service, absent or broken in each way that a machine without a board can show; its real client says so."""
from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.jtop_service import check_jtop
from edge_sleep.device.telemetry.jtop import PACKAGE, installed_version
from tests.device.doctor.machines import as_another_user, attempt, board

pytestmark = pytest.mark.alone

INSTALLED = installed_version()
client = pytest.mark.skipif(INSTALLED is None, reason=f"{PACKAGE} is not installed, whose real client is asked")


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path (a socket's has 108 characters) that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "run").mkdir()
        yield Path(folder)


def listening(root: Path) -> socket.socket:
    service = socket.socket(socket.AF_UNIX)
    service.bind(str(root / "run/jtop.sock"))
    service.listen()
    return service


def refuse(*_):
    raise AssertionError("the client must not be asked")


def test_installed_as_pip_says() -> None:
    if INSTALLED is not None:
        assert metadata.version(PACKAGE) == INSTALLED


@pytest.mark.parametrize("place, version, status, words", [
    (Board(), "7.2.2", None, ""), (Board(), None, None, ""), (board(), None, "skip", "not installed, and no service"),
    (board(), "7.2.2", "warn", "no service: ")])
def test_no_socket(root: Path, place: Board, version, status, words) -> None:
    line = check_jtop(place, refuse, root, version)
    assert (line and line.status) == status and (line is None or words in line.found)


def test_a_folder_in_place_of_the_socket(root: Path) -> None:
    (root / "run/jtop.sock").mkdir()
    line = check_jtop(board(), refuse, root, "7.2.2")
    assert line.status == "warn" and "is no socket" in line.found


def test_a_service_and_no_client(root: Path) -> None:
    """Also where no board is seen: a container has the socket and not the device tree."""
    with listening(root):
        line = check_jtop(Board(), refuse, root, None)
    assert line.status == "skip" and "a service runs" in line.found


def test_no_permission(root: Path) -> None:
    with listening(root):
        (root / "run/jtop.sock").chmod(0)
        said = as_another_user(lambda: str(check_jtop(board(), refuse, root, "7.2.2")))
    assert "no permission" in said and "group jtop" in said


@pytest.mark.parametrize("answer, status, words", [
    ({"failed": None, "text": ""}, "ok", "the service answers"),
    ({"failed": "version mismatch", "text": "Mismatch version jtop service: [4.3.2] and client: [7.2.2]."}, "warn",
     "version mismatch: Mismatch version jtop service: [4.3.2]"),
    ({"failed": "a new name", "text": "x"}, "warn", "a new name: x"),
    ("no answer in 10 s while connecting", "warn", "no answer")])
def test_what_the_client_said(root: Path, answer, status: str, words: str) -> None:
    with listening(root):
        line = check_jtop(board(), attempt(jtop=answer), root, "7.2.2")
    assert (line.status, words in line.found, bool(line.do)) == (status, True, status == "warn"), line


@client
def test_a_socket_that_a_dead_service_left(root: Path) -> None:
    listening(root).close()
    line = check_jtop(board(), root=root, version=INSTALLED, seconds=60.0)
    assert line.status == "warn" and "no service" in line.found and "stale" in line.do, line


@client
def test_a_service_that_accepts_and_hangs_up(root: Path) -> None:
    """As the real one does once its timer thread has died."""
    def hang_up() -> None:
        try:
            while True:
                service.accept()[0].close()
        except OSError:
            return
    with listening(root) as service:
        threading.Thread(target=hang_up, daemon=True).start()
        line = check_jtop(board(), root=root, version=INSTALLED, seconds=60.0)
        service.shutdown(socket.SHUT_RDWR)
    assert line.status == "warn" and "service broken" in line.found, line


@client
def test_a_service_that_was_stopped_hangs_nothing(root: Path) -> None:
    """Connecting to it blocks for ever, and so does the client's way out."""
    begun = time.monotonic()
    with listening(root):
        line = check_jtop(board(), root=root, version=INSTALLED, seconds=3.0)
    assert line.status == "warn" and "no answer in 3 s while connecting" in line.found, line
    assert time.monotonic() - begun < 10
