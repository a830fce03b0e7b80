"""Whether a lean step is the step that the libraries would take: losses and gradients beside Hugging Face's, in float32.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.agreement /tmp/shape --steps 12

Both train the same adapter (same seed, same words, another row each step) on the same 4-bit base: `hf` through the model's own
loss over full logits, PEFT's and bitsandbytes' own layers; `ours` through what a night uses. Reported at every step: the
relative difference of the losses and the cosine of the whole adapter's gradients. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
from typing import Any

from edge_sleep.benchmarks.contenders import ALPHA, RANK, TARGETS, labelled, words

from edge_sleep.device import environment


def contender(folder: str, dtype: str, lean: bool, chunk: int) -> tuple[Any, Any]:
    """(model, its loss for a batch of token ids whose second half is supervised)."""
    from edge_sleep.config import Lora
    from edge_sleep.data.dataset import TokenisedExample, collate
    from edge_sleep.device import detect
    from edge_sleep.model import adapter
    from edge_sleep.model import base as base_model
    from edge_sleep.train import blocks, objective

    loaded = base_model.load(base_model.Base(base_model.resolve(folder), "", dtype), detect.choose(dtype))
    objective.prepare_for_training(loaded.model, True)
    model = adapter.attach_new(loaded.model, Lora(rank=RANK, alpha=ALPHA, targets=TARGETS), seed=0).train()
    if not lean:
        return model, lambda rows: model(**labelled(rows)).loss
    blocks.make_lean(model, checkpointing=True)
    loss_of, _ = objective.chunked_objective(model, chunk)

    def loss(rows: list[list[int]]) -> Any:
        tokens = len(rows[0])
        examples = [TokenisedExample(tuple(row), tokens // 2, tokens, 1.0) for row in rows]
        return loss_of(model, collate(examples, 0), float(len(rows) * (tokens - tokens // 2)))

    return model, loss


def compare(folder: str, dtype: str, tokens: int, steps: int, chunk: int) -> list[dict]:
    import torch

    sides = [contender(folder, dtype, lean, chunk) for lean in (False, True)]
    trained = [[weight for weight in model.parameters() if weight.requires_grad] for model, _ in sides]
    optimisers = [torch.optim.AdamW(weights, lr=1e-3, foreach=False) for weights in trained]
    found = []
    many = words(steps, tokens, sides[0][0].get_input_embeddings().num_embeddings)
    for step in range(steps):
        losses, gradients = [], []
        for (_, loss_of), weights, optimiser in zip(sides, trained, optimisers, strict=True):
            loss = loss_of([many[step]])
            loss.backward()
            losses.append(loss.item())
            gradients.append(torch.cat([weight.grad.flatten() for weight in weights]).double())
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0).item()
        found.append({"step": step + 1, "hf": losses[0], "ours": losses[1], "cosine": cosine,
                      "relative": abs(losses[1] - losses[0]) / abs(losses[0])})
        print("step {step}: loss {hf:.6f} and {ours:.6f}, off by {relative:.1e}; cosine of the gradients 1 - {0:.1e}"
              .format(1 - cosine, **found[-1]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--chunk", type=int, default=128)
    arguments = parser.parse_args()
    found = compare(arguments.folder, arguments.dtype, arguments.tokens, arguments.steps, arguments.chunk)
    worst, least = max(row["relative"] for row in found), min(row["cosine"] for row in found)
    print(f"{arguments.dtype}: losses off by {worst:.1e} at most, cosine at least {least:.7f}")
    print(json.dumps({"benchmark": "agreement", "dtype": arguments.dtype, "tokens": arguments.tokens, "rows": found,
                      "largest_relative": worst, "least_cosine": least, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
