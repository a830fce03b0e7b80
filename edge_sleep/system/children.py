"""What a child process that runs a module of this package needs to find it."""
from __future__ import annotations

import os
from pathlib import Path


def environment() -> dict[str, str]:
    """This process's environment, in which `python -m edge_sleep...` finds this very package, from a bare checkout too."""
    import edge_sleep

    root = str(Path(edge_sleep.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
