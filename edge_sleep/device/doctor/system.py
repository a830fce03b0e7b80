"""Python, the disk that the home lies on, and the clock."""
from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from edge_sleep.device.doctor.check import GIB, Check
from edge_sleep.system.clock import BUILT_YEAR, Clock

_DISK_WARN_BYTES, _DISK_FAIL_BYTES = 2 * GIB, GIB // 8
_OTHERS = stat.S_IRWXO
_AHEAD = timedelta(days=1)                             # of a file whose date the clock has not reached


def check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("python", "warn", version, "tested on Python 3.10 to 3.13")
    return Check("python", "ok", version)


def check_home(root: Path, free_bytes: int | None = None) -> list[Check]:
    """Free space and a real write where the home lies, or will lie; what is written is removed. Others must not read it."""
    # os.path: where a folder may not be entered, Path.exists raises.
    place = next((folder for folder in (root, *root.absolute().parents) if os.path.exists(folder)), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(b"edge_sleep")
            stream.flush()
            os.fsync(stream.fileno())
        wrote = Check("home", "ok", f"{root} can be written" if place == root else f"{root} can be made in {place}")
        if place == root and (mode := root.stat().st_mode) & _OTHERS:
            wrote = Check("home", "warn", f"{root} can be written; other users of this machine can look into it "
                          f"(mode {stat.S_IMODE(mode):o})", f"chmod 700 {root}: it holds what was said to the companion")
    except OSError as error:
        wrote = Check("home", "fail", f"{place} cannot be written: {error.strerror}", "choose another --home")
    free = shutil.disk_usage(place).free if free_bytes is None else free_bytes
    found = f"{free / GIB:.1f} GiB free for {root}"
    if free < _DISK_FAIL_BYTES:
        return [wrote, Check("disk", "fail", found, "free space, or choose another --home")]
    if free < _DISK_WARN_BYTES:
        return [wrote, Check("disk", "warn", found, "enough for some nights; free space before it ends")]
    return [wrote, Check("disk", "ok", found)]


def check_clock(clock: Clock, synchronised: bool | None = None, made_earlier: Sequence[Path] = ()) -> Check:
    """synchronised: as the kernel says; made_earlier: files from before now, whose dates a sound clock has passed."""
    now = clock.now()
    found = now.isoformat(timespec="seconds")
    do = "set the clock (no battery, no network?): nights and checkpoints are named by it"
    if now.year < BUILT_YEAR:
        return Check("clock", "warn", found, do)
    for file in made_earlier:
        made = _modified(file)
        if made is not None and made > now + _AHEAD:
            return Check("clock", "warn", f"{found}, but {file} is from {made.isoformat(timespec='seconds')}", do)
    told = {True: ", synchronised", False: ", not synchronised by a time server", None: ""}
    return Check("clock", "ok", found + told[synchronised])


def _modified(file: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(file.stat().st_mtime).astimezone()
    except OSError:
        return None
