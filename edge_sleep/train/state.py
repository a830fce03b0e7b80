"""Everything training needs to go on as if it had never stopped.

A night's `state/` holds: examples.jsonl (the words, written once), held_out.jsonl (those that are never trained on,
where they are watched), plan.json (what was promised, written once) and step-NNNNNN/ (adapter, AdamW moments, random
state, counters), replaced whole.
"""
from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.data.experience import Example
from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import (
    TEMPORARY,
    json_lines,
    publish_folder,
    read_object,
    read_sealed,
    sha256_file,
    storage_errors,
    write_bytes,
    write_json,
)


@dataclass
class Progress:
    """Counters of a training run; all that the loop remembers besides tensors."""

    step: int = 0                       # optimiser steps taken
    epoch: int = 0
    batch: int = 0                      # micro-batches taken in this epoch
    tokens: int = 0
    supervised_tokens: int = 0
    micro_batch: int = 1                # examples per forward: fewer where memory ran out
    scale: float = 1.0                  # of the loss while it is differentiated (float16)
    good_steps: int = 0                 # in a row at this scale
    cooling: int | None = None          # the step from which the rate falls for good: this epoch is the last
    cooling_for: str | None = None      # why: the reason to stop behind it
    held_out: list[float] = field(default_factory=list)     # nats per token before training, then behind each epoch
    seconds: float = 0.0                # spent stepping, over all runs of this night
    losses: list[float] = field(default_factory=list)


def write_examples(folder: Path, examples: list[Example], name: str = "examples.jsonl") -> str:
    """Returns the sha256 of the file: the identity of tonight's data."""
    lines = "".join(json.dumps(asdict(example), ensure_ascii=False) + "\n" for example in examples)
    return write_bytes(folder / name, lines.encode())


def read_examples(folder: Path, name: str = "examples.jsonl") -> list[Example]:
    lines = json_lines((folder / name).read_text(encoding="utf-8"))
    return [Example(**{**entry, "messages": tuple(entry["messages"])}) for entry in map(json.loads, lines)]


def save(folder: Path, parameters: dict[str, Any], optimiser: Any, progress: Progress) -> None:
    """Publish the state of `progress.step` in one rename, then drop the one before it.

    parameters: trainable tensors by name, in the order the optimiser was given them.
    """
    import torch
    from safetensors.torch import save as serialise

    name = f"step-{progress.step:06d}"
    staged = folder / f"{TEMPORARY}{name}"
    with storage_errors(folder):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        tensors = {f"parameter.{key}": value.detach().cpu().contiguous() for key, value in parameters.items()}
        for key, value in parameters.items():
            moments = optimiser.state.get(value, {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in moments:
                    tensors[f"{moment}.{key}"] = moments[moment].cpu().contiguous()
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        sha256 = write_bytes(staged / "tensors.safetensors", serialise(tensors))
        counters = write_json(staged / "progress.json", {**asdict(progress), "sha256": sha256})
        write_bytes(staged / "progress.sha256", counters.encode())         # beside it: the counters travel as they are
        final = folder / name
        if final.exists():
            shutil.rmtree(final)
        publish_folder(staged, final)
        for older in folder.glob("step-*"):
            if older.name != name:
                shutil.rmtree(older)


def damaged(folder: Path) -> str | None:
    """What in a night's `state/` is not what was written there; None where the night can be gone on with."""
    try:
        plan = read_sealed(folder / "plan.json", "the plan", "key", "data_sha256", "parent", "experiences")
        if sha256_file(folder / "examples.jsonl") != plan["data_sha256"]:
            return "examples.jsonl does not hold what was planned"
        if (folder / "training.json").is_file():
            read_sealed(folder / "training.json", "training settings", "micro_batch")
        if (saved := latest(folder)) is not None:
            _progress(saved)
        if (folder / "candidate").is_dir():
            named = read_sealed(folder / "candidate.json", "candidate", "id")["id"]
            # A folder of the candidate's name: the manifest says that of the folder it will have.
            if wrong := manifest.problems(folder / "candidate", named):
                return f"the candidate is not whole: {wrong[0]}"
        if (folder / "verdict.json").is_file():
            read_sealed(folder / "verdict.json", "verdict", "gate", "effect", "chat_template")
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except IntegrityError as error:
        return error.message
    return None


def _progress(state: Path) -> dict[str, Any]:
    """The counters of a saved state, they and its tensors checked."""
    names = [one.name for one in fields(Progress)]
    document = read_object(state / "progress.json", "training state", "sha256", "step")
    promised = state / "progress.sha256"                   # one that came from another machine has none
    whole = not promised.is_file() or promised.read_bytes() == sha256_file(state / "progress.json").encode()
    if not whole or sha256_file(state / "tensors.safetensors") != document["sha256"]:
        raise IntegrityError(f"the training state {state} is damaged", "delete it to begin the night anew")
    return {name: document[name] for name in names if name in document}


def latest(folder: Path) -> Path | None:
    """The newest whole state under `folder`."""
    states = sorted(folder.glob("step-*"))
    return states[-1] if states else None


def restore(state: Path, parameters: dict[str, Any], optimiser: Any) -> Progress:
    """Load a saved state into the live tensors, in place. Raises IntegrityError where it is damaged."""
    import torch
    from safetensors.torch import load_file

    document = _progress(state)
    tensors = load_file(state / "tensors.safetensors")
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(tensors[f"parameter.{key}"])
            if f"exp_avg.{key}" in tensors:
                optimiser.state[value] = {
                    "step": torch.tensor(float(document["step"])),
                    "exp_avg": tensors[f"exp_avg.{key}"].to(value.device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{key}"].to(value.device),
                }
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return Progress(**document)
