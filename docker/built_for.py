"""Stop a build whose torch was not made for the CUDA that is asked for: `python docker/built_for.py 12.6`; `none` is for a CPU.

torch is not imported: where an image is built there is no driver, and a Jetson's build may not load without one.
"""
from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path


def built_with() -> tuple[str, str | None]:
    """(version, CUDA) of the torch that is installed; CUDA is None for a CPU build. Raises SystemExit where there is none."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        sys.exit("no torch is installed")
    told = runpy.run_path(str(Path(found.origin).with_name("version.py")))
    return told["__version__"], told["cuda"]


def problem(wanted: str, version: str, cuda: str | None) -> str | None:
    """What is wrong with it; None where nothing is. A wanted 13 takes any 13.x."""
    found = f"torch {version} is built for {f'CUDA {cuda}' if cuda else 'no GPU'}"
    if wanted == "none":
        return None if cuda is None else f"{found}, and a CPU was asked for: TORCH_INDEX or TORCH chooses another"
    if cuda is not None and (cuda == wanted or cuda.startswith(f"{wanted}.")):
        return None
    return (f"{found}, and CUDA {wanted} was asked for: name the index with TORCH_INDEX (a Jetson's ends in +simple/), the "
            "version with TORCH, or with CUDA what is right for this board")


if __name__ == "__main__":
    if wrong := problem(sys.argv[1], *built_with()):
        sys.exit(wrong)
    print("torch {}, CUDA {}".format(*built_with()))
