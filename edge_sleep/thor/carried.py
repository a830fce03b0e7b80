"""What travels between a worker and the nodes of a cluster, as bytes: a base, a step that was reached, a candidate."""
from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_sleep.model.base import BaseSource
from edge_sleep.system.files import TEMPORARY, new_folder, publish_folder, storage_errors, write_bytes, write_sealed
from edge_sleep.thor import bundle
from edge_sleep.train import state as training_state

PIECE_BYTES = 32 << 20                             # of a base, in the object store


def files_of_a_base(place: BaseSource) -> list[Path]:
    return [file for pattern in ("*.json", "*.safetensors", "*.jinja", "*.txt", "edge_sleep/*")
            for file in sorted(place.folder.glob(pattern)) if file.is_file() and not file.name.startswith(TEMPORARY)]


def pieces(file: Path, size_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    with open(file, "rb") as stream:
        while piece := stream.read(size_bytes):
            yield piece


def reached(state: Path) -> dict[str, bytes]:
    """What a training goes on from: the step a node has sent, and what it began with."""
    files = [state / "training.json"] if (state / "training.json").is_file() else []
    if (step := training_state.latest(state)) is not None:
        files += sorted(step.iterdir())
    return {str(file.relative_to(state)): file.read_bytes() for file in files}


def keep(state: Path, files: Mapping[str, bytes]) -> None:
    """A step that a node has saved, published as `train.state.save` does: whole, and then the one before it goes."""
    step = next(name.partition("/")[0] for name in files if "/" in name)
    write_bytes(state / "training.json", files["training.json"])
    if (state / step).is_dir():
        return
    with new_folder(state / step) as staged:
        for name, content in files.items():
            if name.startswith(f"{step}/"):
                (staged / name.partition("/")[2]).write_bytes(content)
        publish_folder(staged, state / step)
    for older in state.glob("step-*"):
        if older.name != step:
            shutil.rmtree(older)


def stage(state: Path, files: Mapping[str, bytes], candidate: str) -> None:
    """The candidate that came back, where a training here would have left it. Names are ours, not the node's."""
    final = state / "candidate"
    with storage_errors(final), new_folder(final) as staged:
        for name in bundle.CANDIDATE:
            (staged / name.rpartition("/")[2]).write_bytes(files[name])
        write_sealed(state / "candidate.json", {"id": candidate})
        shutil.rmtree(final, ignore_errors=True)
        publish_folder(staged, final)
