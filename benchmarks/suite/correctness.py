"""Whether a contender takes the step that the reference takes: its loss and the gradient of the whole adapter, on one batch.

Every contender is given the same adapter, in which no matrix is zero, and takes one step; its gradient is caught as it arrives,
before any clipping. The reference is PEFT's and bitsandbytes' own layers over full logits in float32. What does not agree is
not timed.
"""
from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.contenders import CONTENDERS, OURS, Gate, asked, settings_of

# dtype -> (largest relative difference of the loss, least cosine, largest relative difference of the gradient's norm).
# float32: sums in another order, over some thousand terms of 2**-24 each, measured 8e-8 and 1 - 5e-11. The half types round every
# activation to 2**-9 (bfloat16) or 2**-11 (float16); over the layers that is a few percent of a gradient's direction.
BOUNDS: dict[str, tuple[float, float, float]] = {
    "float32": (1e-5, 1 - 1e-6, 1e-3), "bfloat16": (1e-2, 0.98, 0.1), "float16": (1e-2, 0.98, 0.1)}


class Probe(Gate):
    """Gives every contender the same adapter and catches the gradient of its first step."""

    def __init__(self) -> None:
        super().__init__()
        self.gradient: dict[str, Any] = {}

    def watch(self, model: Any) -> None:
        import torch

        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            places = torch.arange(1, weight.numel() + 1, dtype=torch.float64)
            numbers = torch.sin(places * (1.0 if "lora_A" in name else 2.0))
            scale = 1 / math.sqrt(weight.shape[1]) if "lora_A" in name else 0.01
            weight.data.copy_((numbers * scale).reshape(weight.shape))
            weight.register_post_accumulate_grad_hook(lambda arrived, name=name: self.gradient.update(
                {name: arrived.grad.detach().double().cpu().clone()}))


def held_to(who: str, dtype: str) -> str:
    """The type whose bounds hold. TRL for one keeps its adapter in bfloat16 on a 4-bit base, whatever is computed in."""
    return dtype if who in OURS else "bfloat16"


def judge(dtype: str, loss: float, other_loss: float, cosine: float, norms: float) -> list[str]:
    """Reasons why a step is not the reference's; empty where it is. norms: the gradient's length by the reference's."""
    most, least, length = BOUNDS[dtype]
    off, found = abs(loss - other_loss) / max(abs(other_loss), 1e-12), []
    if not off <= most:
        found.append(f"the loss is {loss:.6g}, the reference's {other_loss:.6g}: off by {off:.1e}, allowed {most:.0e}")
    if not cosine >= least:
        found.append(f"the gradient points elsewhere: cosine {cosine:.6f}, at least {least:.6g}")
    if not abs(norms - 1) <= length:
        found.append(f"the gradient is {norms:.4f} times as long as the reference's, allowed 1 +- {length:.0e}")
    return found


def compare(dtype: str, loss: float, gradient: dict[str, Any], other_loss: float, other: dict[str, Any]) -> dict[str, Any]:
    """What a contender's step is beside the reference's; `reasons` is empty where they agree."""
    import torch

    if odd := sorted(set(gradient) ^ set(other)):
        return {"loss": loss, "reference_loss": other_loss, "cosine": None, "norms": None,
                "reasons": [f"another adapter trains: {odd[0]} and {len(odd) - 1} more are in one of both only"]}
    mine, theirs = (torch.cat([side[name].double().flatten() for name in sorted(other)]) for side in (gradient, other))
    cosine = torch.nn.functional.cosine_similarity(mine, theirs, dim=0).item()
    norms = (mine.norm() / theirs.norm()).item()
    return {"loss": loss, "reference_loss": other_loss, "cosine": cosine, "norms": norms,
            "reasons": judge(dtype, loss, other_loss, cosine, norms)}


def step(folder: str, who: str, rows: int, tokens: int, settings: dict) -> tuple[float, dict[str, Any]]:
    """(loss, gradient by name) of a contender's first step."""
    gate = Probe()
    CONTENDERS[who](folder, rows, tokens, asked(who, settings, 1), gate)
    if not gate.losses or not gate.gradient:
        raise SystemExit(f"{who}: no loss or no gradient was seen")
    return gate.losses[0], gate.gradient


def main() -> None:
    from safetensors.torch import load_file, save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("who", choices=sorted(CONTENDERS))
    parser.add_argument("batch")
    parser.add_argument("reference", type=Path, help="file of the reference's gradient; written where `who` is the reference")
    parser.add_argument("--loss", type=float, help="the reference's")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    arguments = parser.parse_args()
    rows, tokens = map(int, arguments.batch.split("x"))
    settings = settings_of(arguments.sets)
    loss, gradient = step(arguments.folder, arguments.who, rows, tokens, settings)
    if arguments.who == "reference":
        save_file(gradient, arguments.reference)
        print(json.dumps({"who": arguments.who, "loss": loss}))
        return
    dtype = settings.get("dtype", "bfloat16")
    found = compare(held_to(arguments.who, dtype), loss, gradient, arguments.loss, load_file(arguments.reference))
    print(json.dumps({"who": arguments.who, "dtype": dtype, **found}))


if __name__ == "__main__":
    main()
