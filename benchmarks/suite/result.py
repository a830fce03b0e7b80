"""The document of one run: device, versions, commit, figures, budgets; its file name, and where it is kept."""
from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.suite.children import checkout

from edge_sleep.device import environment, memory
from edge_sleep.errors import UsageError
from edge_sleep.system.files import write_bytes

FORMAT = 1
BENCHMARK = "suite"
_COMMIT = ("rev-parse", "--short=8", "HEAD")
_CHANGED = ("status", "--porcelain", "--untracked-files=no", "--", "edge_sleep", "kernels", "benchmarks", "profiles")


def device(profile: str, because: str) -> dict[str, Any]:
    """The machine as it is now: what a figure of another day has to be read with."""
    return {"name": environment.processor(), "profile": profile, "profile_reason": because, "cores": environment.cores(),
            "threads": os.environ.get("OMP_NUM_THREADS"), "load_average": list(os.getloadavg()),
            "memory_bytes": memory.total_bytes(), "available_bytes": memory.available_bytes(), "gpu": gpu()}


def gpu() -> str | None:
    """Name of the CUDA GPU. Loads torch only where the driver's own files say that there may be one."""
    if not any(Path(file).exists() for file in ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvmap")):
        return None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def commit(top: Path | None) -> str:
    """Short hash of the checkout, `+` where it was changed since; the version of an installed package."""
    if top is None:
        return f"v{environment.describe()['edge_sleep']}"
    try:
        found, changed = (subprocess.run(["git", *words], cwd=top, capture_output=True, text=True, check=True).stdout.strip()
                          for words in (_COMMIT, _CHANGED))
    except (OSError, subprocess.CalledProcessError):
        return f"v{environment.describe()['edge_sleep']}"
    return found + ("+" if changed else "")


def name_of(document: dict[str, Any]) -> str:
    """DEVICE-DATE-COMMIT: date and time of the start, so that two runs of a day stand side by side."""
    named = document["device"]["gpu"] or document["device"]["name"]
    slug = re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:40].strip("-")
    when = datetime.fromisoformat(document["started"]).strftime("%Y%m%d-%H%M%S")
    return f"{slug or 'device'}-{when}-{document['commit'].replace('+', '-changed')}"


def folder(asked: Path | None) -> Path:
    """Where results are kept: the folder asked for, the checkout's, else the user's data folder."""
    if asked is not None:
        return asked.expanduser().absolute()
    top = checkout()
    if top is not None and os.access(top / "benchmarks", os.W_OK):
        return top / "benchmarks" / "results"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data) / "edge-sleep-bench"


def keep(document: dict[str, Any], where: Path) -> Path:
    file = where / f"{name_of(document)}.json"
    write_bytes(file, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return file


def read(file: Path) -> dict[str, Any]:
    """A kept result. Raises UsageError where it is none."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as a result: {error}", "name files that `edge-sleep bench` wrote") from None
    if not isinstance(found, dict) or found.get("benchmark") not in (BENCHMARK, "growth") or found.get("format") != FORMAT:
        raise UsageError(f"{file} is no result of the suite in format {FORMAT}", "name files that `edge-sleep bench` wrote")
    return found
