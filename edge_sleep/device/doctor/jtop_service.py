"""The jtop service: installed, running, permitted, of the same version, and alive.

Its client is imported in a throw-away process only: it can block for ever, and its licence is not ours. Nothing here is a
failure: without the service the sensors are read from the kernel's files.
"""
from __future__ import annotations

import os
import stat
from pathlib import Path

import edge_sleep
from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import ROOT, Check, Try, try_code
from edge_sleep.device.telemetry.jtop import PACKAGE

SOCKET = "run/jtop.sock"
CONNECT_SECONDS = 10.0
_PROBE = """
import json, os, sys
sys.path.append({path!r})
from edge_sleep.device.telemetry.jtop_child import named
print("at connecting", flush=True)
try:
    from jtop import jtop, service
    service.JTOP_PIPE = {socket!r}
    board = jtop(interval=0.5)
    board.start()
    print("at waiting for a sample", flush=True)
    answer = {{"failed": None, "text": ""}} if board.ok() else {{"failed": "silent", "text": "it sends nothing"}}
except ImportError as error:
    answer = {{"failed": "not installed", "text": str(error)}}
except Exception as error:
    answer = dict(zip(("failed", "text"), named(error)))
print(json.dumps(answer), flush=True)
os._exit(0)
"""
_RESTART = "sudo systemctl restart jtop"
_DO = {"no service": f"the socket is stale: `{_RESTART}`; in a container, start it again afterwards",
       "no permission": "add the user to the group jtop and log in again; in a container: --group-add with that number",
       "version mismatch": "only major and minor count: install the {package} of the service here, or update both",
       "service broken": f"its timer died of a sensor: `{_RESTART}`",
       "silent": f"its timer died of a sensor: `{_RESTART}`",
       "connection lost": f"`{_RESTART}`",
       "not installed": "the package is there and cannot be imported: install {package} again"}


def probe(socket: Path) -> str:
    """Code that connects to the service and tells how that ended."""
    return _PROBE.format(path=str(Path(edge_sleep.__file__).parent.parent), socket=str(socket))


def check_jtop(board: Board, attempt: Try = try_code, root: Path = ROOT, version: str | None = None,
               seconds: float = CONNECT_SECONDS) -> Check | None:
    """version: of the installed client. None on a machine without the service that is no Jetson."""
    socket = root / SOCKET
    found = f"{PACKAGE} {version}" if version else f"{PACKAGE} is not installed"
    try:
        kept = socket.stat()
    except OSError as error:
        if not board.jetson:
            return None
        if version is None:
            return Check("jtop", "skip", f"{found}, and no service; sensors are read from the kernel's files")
        return Check("jtop", "warn", f"{found}; no service: {socket}: {error.strerror}",
                     "on the host: `sudo jtop --install-service`; in a container: -v /run/jtop.sock:/run/jtop.sock")
    if not stat.S_ISSOCK(kept.st_mode):
        return Check("jtop", "warn", f"{found}; {socket} is no socket; a container that starts before the service makes a folder "
                     "of it", "remove it, start the service, then the container")
    if version is None:
        return Check("jtop", "skip", f"a service runs; {found}", f"where sensors are wanted through it: install {PACKAGE} of its "
                     "version")
    if not os.access(socket, os.R_OK | os.W_OK):
        return Check("jtop", "warn", f"{found}; no permission: {socket} is for group {kept.st_gid}",
                     _DO["no permission"])
    answer, problem = attempt(probe(socket), seconds)
    if answer is None:
        return Check("jtop", "warn", f"{found}; {problem}", f"the service hangs, or its client: `{_RESTART}`")
    if answer["failed"]:
        return Check("jtop", "warn", f"{found}; {answer['failed']}: {answer['text']}",
                     _DO.get(answer["failed"], f"`{_RESTART}`").format(package=PACKAGE))
    return Check("jtop", "ok", f"{found}; the service answers, and its version fits")
