"""What is measured: a model of some shape, a batch, whom it is compared with; and where the suite may write."""
from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sleep.errors import UsageError
from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.model.shape import Shape, read

TINY = "tiny"
SEEDLING = "seedling"
MARK = "edge-sleep-bench.json"           # a folder that the suite made; it writes into no other
SHAPES = (TINY, SEEDLING, *KNOWN)
# name -> (modules that must be there, whether it needs a CUDA GPU)
PEERS: dict[str, tuple[tuple[str, ...], bool]] = {
    "hf": (("transformers", "peft"), False), "trl": (("trl", "datasets"), False),
    "liger": (("liger_kernel",), True), "unsloth": (("unsloth",), True)}


@dataclass(frozen=True)
class Case:
    """One run of the suite. folder: the model. work: where homes and caches go."""

    folder: Path
    shape: str
    rows: int
    tokens: int
    dtype: str
    rounds: int
    steps: int
    work: Path
    against: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    memory_bytes: int | None = None
    total_rail: str | None = None
    not_run: tuple[dict[str, str], ...] = field(default=())

    @property
    def of(self) -> Shape:
        return read(self.folder)

    @property
    def batch(self) -> str:
        return f"{self.rows}x{self.tokens}"

    @property
    def train_sets(self) -> list[str]:
        """What a contender is told: the type that is computed in, and what was set of `train`."""
        return [f"dtype={self.dtype}", *(entry for entry in self.sets if entry.startswith("train."))]


def batch(text: str) -> tuple[int, int]:
    """Rows and tokens of `2x256`."""
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,4})", text)
    if not found or int(found[2]) < 2:
        raise UsageError(f"--batch {text}: not rows x tokens", "one row of 256 tokens is 1x256")
    return int(found[1]), int(found[2])


def workplace(folder: Path) -> Path:
    """Make `folder` the suite's, or find that it is. Raises UsageError where it holds something else, such as a companion."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise UsageError(f"{folder} is not empty, and the suite did not make it",
                         "name a folder of its own with --home; a companion's home is never measured in")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(json.dumps({"format": 1}))
    return folder


def model(asked: str, work: Path) -> tuple[Path, str]:
    """(model folder, name of its shape): one that comes along, a known shape with random weights, or a folder.

    Raises UsageError for a name that is none, ModelError for a folder that is no causal decoder.
    """
    from edge_sleep.seedling import MODEL

    if asked == SEEDLING:
        return MODEL, SEEDLING
    if asked in SHAPES:
        folder = work / "models" / asked
        if not (folder / "config.json").is_file():
            from edge_sleep.benchmarks import shapes

            shapes.make(asked, folder)
        return folder, asked
    folder = Path(asked).expanduser()
    if not folder.is_dir():
        raise UsageError(f"--shape {asked}: no shape of that name and no folder",
                         f"one of {', '.join(SHAPES)}, or a model folder")
    found = read(folder)
    bare = found.__dict__ | {"context": None}
    named = next((name for name, shape in KNOWN.items() if shape.__dict__ | {"context": None} == bare), folder.name)
    return folder.absolute(), named


def peers(asked: Sequence[str], cuda: bool) -> tuple[tuple[str, ...], tuple[dict[str, str], ...]]:
    """(peers that can run here, the others with the reason). Raises UsageError for a name that is none."""
    if odd := [name for name in asked if name not in PEERS]:
        raise UsageError(f"--against {odd[0]}: no such peer", f"any of {', '.join(PEERS)}, separated by commas")
    able, unable = [], []
    for name in dict.fromkeys(asked):
        modules, needs_cuda = PEERS[name]
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if needs_cuda and not cuda:
            unable.append({"who": name, "reason": "it needs a CUDA GPU, and torch sees none"})
        elif missing:
            unable.append({"who": name, "reason": f"not installed: pip install {missing[0].replace('_', '-')}"})
        else:
            able.append(name)
    return tuple(able), tuple(unable)
