"""Grow the seedling from nothing: corpus, tokenizer, pretraining, weights.

python -m edge_sleep.seedling.grow --out DIR
python -m edge_sleep.seedling.rehearsal --model DIR
"""

import argparse
import itertools
import math
import sys
import time
from pathlib import Path
from typing import Any

from edge_sleep.seedling import SYSTEM_PROMPT
from edge_sleep.seedling.corpus import conversations

PROMPT_WEIGHT = 0.1
# Reading from the context comes last and needs the most examples: from here on, this share is practice in it.
PRACTICE_FROM, PRACTICE = 0.5, 0.35
SHAPE: dict[str, Any] = {
    "hidden_size": 256, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 640, "max_position_embeddings": 1024, "rope_theta": 10000.0, "tie_word_embeddings": True,
}  # fmt: skip


def encode(tokenizer, dialogues: list[list[dict[str, str]]]) -> list[tuple[list[int], list[float]]]:
    """Token ids of each conversation and the loss weight of each token as a target."""
    spans = []
    for messages in dialogues:
        if messages[0]["role"] != "system":
            messages = [{"role": "system", "content": SYSTEM_PROMPT}, *messages]
        for m in messages:
            spans.append((f"<|im_start|>{m['role']}\n", PROMPT_WEIGHT, False))
            spans.append((f"{m['content']}<|im_end|>", 1.0 if m["role"] == "assistant" else PROMPT_WEIGHT, False))
            spans.append(("\n", PROMPT_WEIGHT, False))
        spans[-1] = ("\n", PROMPT_WEIGHT, True)
    ids = tokenizer([s[0] for s in spans], add_special_tokens=False)["input_ids"]
    out, current, weights = [], [], []
    for span, (_, weight, last) in zip(ids, spans, strict=True):
        current += span
        weights += [weight] * len(span)
        if last:
            out.append((current, weights))
            current, weights = [], []
    return out


def pack(encoded, row: int):
    """First fit of conversations into rows: ids, targets' weights, and which conversation each token belongs to."""
    rows: list[list[tuple[list[int], list[float]]]] = []
    room: list[int] = []
    for item in encoded:
        n = len(item[0])
        if n > row:
            continue
        for i in range(max(0, len(rows) - 40), len(rows)):
            if room[i] >= n:
                rows[i].append(item)
                room[i] -= n
                break
        else:
            rows.append([item])
            room.append(row - n)
    return rows


def batches(tokenizer, seed: int, size: int, row: int, practice: float = 0.0):
    """Endless packed batches (ids, labels' weights, mask, positions); attention never leaves its conversation."""
    import torch

    stream = conversations(seed, practice)
    waiting: list = []
    while True:
        dialogues = [c.messages() for c in itertools.islice(stream, 4000)]
        rows = waiting + pack(encode(tokenizer, dialogues), row)
        while len(rows) >= size:
            chosen, rows = rows[:size], rows[size:]
            ids, weights = torch.zeros(size, row, dtype=torch.long), torch.zeros(size, row)
            owner, positions = torch.full((size, row), -1), torch.zeros(size, row, dtype=torch.long)
            for i, items in enumerate(chosen):
                at = 0
                for k, (tokens, w) in enumerate(items):
                    end = at + len(tokens)
                    ids[i, at:end], weights[i, at:end] = torch.tensor(tokens), torch.tensor(w)
                    weights[i, at] = 0
                    owner[i, at:end], positions[i, at:end] = k, torch.arange(len(tokens))
                    at = end
            same = owner[:, :, None] == owner[:, None, :]
            mask = (same & torch.ones(row, row, dtype=torch.bool).tril())[:, None]
            yield ids, weights, mask, positions
        waiting = rows


def rate(progress: float) -> float:
    """Share of the peak learning rate: warm-up, then two cosine cycles, the second lower."""
    if progress < 0.02:
        return progress / 0.02
    if progress < 0.5:
        return 0.25 + 0.75 * (1 + math.cos(math.pi * progress / 0.5)) / 2
    return 0.75 * (1 + math.cos(math.pi * (progress - 0.5) / 0.5)) / 2 + 0.002


def new_model(tokenizer):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    eos = tokenizer.eos_token_id
    config = Qwen2Config(
        vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=eos, pad_token_id=tokenizer.pad_token_id, **SHAPE
    )
    model = Qwen2ForCausalLM(config)
    for name, p in model.named_parameters():
        if p.ndim == 2 and name.endswith(("o_proj.weight", "down_proj.weight")):
            p.data.zero_()
    return model


def grow(
    out: Path, seed: int, steps: int, minutes: float | None, batch: int, row: int, peak: float
) -> None:
    import torch
    import torch.nn.functional as F

    from edge_sleep.seedling.muon import Muon
    from edge_sleep.seedling.tokenizer import build

    torch.manual_seed(seed)
    # Gradients start near zero, and denormal arithmetic is tenfold slower.
    torch.set_flush_denormal(True)
    texts = (m["content"] for c in itertools.islice(conversations(seed + 1), 30000) for m in c.messages())
    tokenizer = build(texts)
    model = new_model(tokenizer).train()
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimisers = [
        Muon(matrices, lr=peak, weight_decay=0.05),
        torch.optim.AdamW(rest, lr=peak, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {len(tokenizer)}", flush=True)

    def loss_of(ids, weights, mask, positions):
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
        w = weights[:, 1:].flatten()
        return (losses * w).sum() / w.sum(), (losses * (w == 1)).sum().detach() / (w == 1).sum()

    began, tokens, shown = time.monotonic(), 0, time.monotonic()
    plain, practised = batches(tokenizer, seed, batch, row), batches(tokenizer, seed + 1, batch, row, PRACTICE)
    for step in itertools.count():
        progress = (time.monotonic() - began) / 60 / minutes if minutes else step / steps
        if progress >= 1:
            break
        data = next(practised if progress >= PRACTICE_FROM else plain)
        for o in optimisers:
            for g in o.param_groups:
                g["lr"] = peak * rate(progress)
        loss, answers = loss_of(*data)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        for o in optimisers:
            o.step()
            o.zero_grad(set_to_none=True)
        tokens += data[0].numel()
        if time.monotonic() - shown > 15:
            shown = time.monotonic()
            print(
                f"step {step} {progress:.0%} loss {loss.item():.3f} answers {answers.item():.4f} "
                f"{tokens / (shown - began):.0f} tokens/s", flush=True,
            )  # fmt: skip
    save(model, tokenizer, out)
    print(f"grown in {(time.monotonic() - began) / 60:.1f} minutes, {step} steps, {tokens:,} tokens: {out}")


def save(model, tokenizer, out: Path) -> None:
    import torch

    from edge_sleep.seedling.tokenizer import save as save_tokenizer

    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.do_sample = False
    model.generation_config.max_new_tokens = 64
    model.to(torch.bfloat16).save_pretrained(out)
    save_tokenizer(tokenizer, out)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edge_sleep.seedling.grow",
        description="Grow the seedling model from nothing on this machine's CPU.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the weights and the tokenizer")
    parser.add_argument("--seed", type=int, default=0, help="draws the corpus and the first weights (default 0)")
    parser.add_argument(
        "--steps", type=int, default=1500, help="optimiser steps; the same steps and seed give the same weights"
    )
    parser.add_argument("--minutes", type=float, help="stop by the clock instead of by steps (not reproducible)")
    parser.add_argument("--batch", type=int, default=16, help="rows per step")
    parser.add_argument("--row", type=int, default=160, help="tokens per row")
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    a = parser.parse_args(argv)
    grow(a.out, a.seed, a.steps, a.minutes, a.batch, a.row, a.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
