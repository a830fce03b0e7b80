"""How much memory one optimiser step takes: edge_sleep beside Hugging Face + PEFT + bitsandbytes and TRL.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.peak /tmp/shape --against hf,trl

NF4 with double quantisation, bfloat16, LoRA r=4 on q_proj and v_proj, checkpointing per block, half of the tokens
supervised; the same words for all. Each contender runs in a process of its own and takes two steps; the second, with AdamW's
moments there, is measured. Peak = bytes of the model's tensors and of the optimiser's moments, plus the highest sum of
the allocations that PyTorch's profiler logs within the step. RSS is the process's peak less what the imports took.
`hf` is the Trainer's loss (full logits) without PEFT's float32 copy of the embedding; `trl` is SFTTrainer as it comes.
The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge_sleep.benchmarks.loading import status

from edge_sleep.device import environment

SHAPES = ((1, 512), (4, 512), (4, 1024))
RANK, TARGETS, RATE = 4, "q_proj,v_proj", 1e-4


class Peak:
    """The highest sum of allocations in a window of CPU work, in bytes above what was there when it began."""

    bytes = 0

    @contextmanager
    def window(self) -> Iterator[None]:
        import torch

        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            yield
        held = 0
        events = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
        for event in sorted(events, key=lambda event: event.start_ns()):
            held += event.nbytes()
            self.bytes = max(self.bytes, held)


def words(rows: int, tokens: int, vocabulary: int) -> list[list[int]]:
    """Token ids by a fixed rule; the second half of each row is supervised."""
    return [[(1 + 7919 * (row * tokens + place)) % (vocabulary - 1) + 1 for place in range(tokens)] for row in range(rows)]


def resident(model: Any, moments: int = 2) -> int:
    """Bytes of every tensor of the model once, its quantisation states, and AdamW's moments of what trains."""
    seen: dict[int, int] = {}
    trained = 0
    for tensor in [*model.parameters(), *model.buffers()]:
        seen[tensor.data_ptr()] = tensor.nbytes
        state = getattr(tensor, "quant_state", None)
        if state is not None:
            for part in state.as_dict(packed=True).values():
                seen[part.data_ptr()] = part.nbytes
        trained += tensor.nbytes if tensor.requires_grad else 0
    return sum(seen.values()) + moments * trained


class Window:
    """Stands between a contender's steps: the second one, with AdamW's moments there, is measured."""

    def __init__(self) -> None:
        self.peak, self.steps, self.losses = Peak(), 0, list[float]()
        self._open: Any = None

    def enter(self, *_: Any) -> None:
        if self.steps == 1:
            self._open = self.peak.window()
            self._open.__enter__()

    def leave(self, loss: float | None = None) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None
        self.steps += 1
        if loss is not None:
            self.losses.append(loss)


def settings_of(sets: list[str]) -> dict:
    """`key=value` items as a contender's settings; `train.` in front may be left out."""
    given = (entry.partition("=") for entry in sets)
    return {key.removeprefix("train."): json.loads(value) if value[:1] in "0123456789tfn-" else value for key, _, value in given}


def ours(folder: str, rows: int, tokens: int, settings: dict, gate: Any) -> Any:
    import torch

    from edge_sleep.config import Lora, Train
    from edge_sleep.data.dataset import TokenisedExample
    from edge_sleep.device import detect
    from edge_sleep.model import adapter
    from edge_sleep.model import base as base_model
    from edge_sleep.train import blocks, loop, objective

    of = {"dtype": "bfloat16", "rank": RANK, "targets": TARGETS, "embedding": "full", **settings}
    form = base_model.INT8_EMBEDDING if of.pop("embedding") == "int8" else base_model.QUANTISATION
    declared = base_model.Base(base_model.resolve(folder), "", of.pop("dtype"), quantisation=form)
    loaded = base_model.load(declared, detect.choose())
    lora = Lora(rank=of.pop("rank"), alpha=8, targets=of.pop("targets"))
    train = Train(**{"epochs": 2, "micro_batch": rows, "learning_rate": RATE, "warmup": 0.0, "loss_floor": 0,
                     "checkpointing": True, **of})
    objective.prepare_for_training(loaded.model, train.checkpointing)
    model = adapter.attach_new(loaded.model, lora, seed=0)
    blocks.make_lean(model, checkpointing=train.checkpointing)
    loss_of, _ = objective.chunked_objective(model, train.loss_chunk)
    examples = [TokenisedExample(tuple(row), tokens // 2, tokens, 1.0) for row in words(rows, tokens, len(loaded.tokenizer))]
    torch.manual_seed(0)
    loop.train(model, examples, train, pad=0, loss_of=loss_of, may_step=gate.enter, save=lambda *_: None,
               on_step=lambda progress, steps, rate: gate.leave(progress.losses[-1]), monotonic=time.monotonic, state_every=1e9)
    return model


def stock(folder: str) -> Any:
    """The base as Hugging Face's own guide loads it, the adapter on it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from edge_sleep.device import detect
    from edge_sleep.model import base as base_model

    place = base_model.resolve(folder)
    model = base_model._with_transformers(base_model.Base(place, "", "bfloat16"), detect.choose(), torch.bfloat16)
    base_model._keep_one_form(model)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=8, target_modules=TARGETS.split(","), task_type="CAUSAL_LM"))


def batch_of(rows: int, tokens: int, vocabulary: int) -> dict[str, Any]:
    return labelled(words(rows, tokens, vocabulary))


def labelled(rows: list[list[int]]) -> dict[str, Any]:
    """Rows of equal length as the models of transformers take them, the second half of each supervised."""
    import torch

    ids = torch.tensor(rows)
    labels = ids.clone()
    labels[:, :ids.shape[1] // 2] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def hf(folder: str, rows: int, tokens: int, settings: dict, gate: Any) -> Any:
    from transformers import AutoTokenizer

    return train_plainly(stock(folder), batch_of(rows, tokens, len(AutoTokenizer.from_pretrained(folder))), settings, gate)


def train_plainly(model: Any, batch: dict[str, Any], settings: dict, gate: Any) -> Any:
    """The loop of the guides: the model's own loss over full logits, clipping, AdamW."""
    import torch

    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    batch = {name: value.to(trained[0].device) for name, value in batch.items()}
    optimiser = torch.optim.AdamW(trained, lr=RATE, foreach=False)
    for _ in range(settings.get("steps", 10_000)):
        gate.enter()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        gate.leave(loss.item())
    return model


def trl(folder: str, rows: int, tokens: int, settings: dict, gate: Any) -> Any:
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = stock(folder)
    made = words(rows, tokens, len(tokenizer))
    answers = [[int(place >= tokens // 2) for place in range(tokens)]] * len(made)
    data = Dataset.from_dict({"input_ids": made * 2, "completion_mask": answers * 2})

    class Watch(TrainerCallback):
        def on_step_begin(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            gate.enter()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            gate.leave()

        def on_log(self, arguments: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                gate.losses.append(float(logs["loss"]))

    with tempfile.TemporaryDirectory() as out:
        SFTTrainer(model=model, args=SFTConfig(
            output_dir=out, per_device_train_batch_size=rows, max_steps=settings.get("steps", 10_000), learning_rate=RATE,
            logging_steps=1, max_length=tokens, report_to=[], bf16=True, gradient_checkpointing=True, save_strategy="no",
            use_cpu=not torch.cuda.is_available(), completion_only_loss=True, optim="adamw_torch",
            gradient_checkpointing_kwargs={"use_reentrant": False}, dataset_num_proc=None, disable_tqdm=True),
            train_dataset=data, processing_class=tokenizer, callbacks=[Watch()]).train()
    return model


# (model folder, rows, tokens, settings, gate that stands between the steps) -> the model
CONTENDERS: dict[str, Callable[[str, int, int, dict, Any], Any]] = {"ours": ours, "hf": hf, "trl": trl}


def measure(folder: str, who: str, rows: int, tokens: int, settings: dict) -> dict:
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401

    before = status("VmRSS")
    gate = Window()
    model = CONTENDERS[who](folder, rows, tokens, settings if who == "ours" else {"steps": 2}, gate)
    standing, window, losses = resident(model), gate.peak.bytes, gate.losses
    return {"who": who, "rows": rows, "tokens": tokens, "settings": settings, "peak_mebibytes": (standing + window) / 2**20,
            "standing_mebibytes": standing / 2**20, "step_mebibytes": window / 2**20, "rss_mebibytes": status("VmHWM") - before,
            "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--against", default="hf", help="hf, trl (pip install trl), both with a comma, or nothing")
    parser.add_argument("--shapes", default=",".join(f"{rows}x{tokens}" for rows, tokens in SHAPES))
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE",
                        help="settings of ours: those of train, and dtype, rank, targets, embedding")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settings = settings_of(arguments.sets)
    shapes = [tuple(map(int, shape.split("x"))) for shape in arguments.shapes.split(",")]
    if arguments.only:
        print(json.dumps(measure(arguments.folder, arguments.only, *shapes[0], settings)))
        return
    results = []
    for rows, tokens in shapes:
        for who in ["ours", *filter(None, arguments.against.split(","))]:
            command = [sys.executable, "-m", "edge_sleep.benchmarks.peak", arguments.folder, "--only", who,
                       "--shapes", f"{rows}x{tokens}", *(part for entry in arguments.sets for part in ("--set", entry))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print("{rows}x{tokens:<5} {who:5} peak {peak_mebibytes:6.0f} MiB ({standing_mebibytes:.0f} standing), "
                  "RSS {rss_mebibytes:6.0f} MiB, losses {losses}".format(**results[-1]), flush=True)
    print(json.dumps({"benchmark": "peak", "results": results, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
