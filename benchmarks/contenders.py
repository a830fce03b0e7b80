"""One optimiser step as each trainer takes it: edge_sleep, Hugging Face's Trainer, TRL, Liger, Unsloth, on the same words.

Every contender gets the base in NF4 with double quantisation, LoRA r=4 on q_proj and v_proj, checkpointing per block, and rows
of which the second half is supervised. A gate stands between its steps: it is shown the model before the first one (`watch`),
is asked before each step (`enter`) and told after it (`leave`), and may end the process there.
"""
from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

RANK, ALPHA, TARGETS, RATE = 4, 8, "q_proj,v_proj", 1e-4
FOREVER = 10_000                    # steps, where the gate says when it is enough


class Gate:
    """Lets every step pass; the base of those that measure."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def watch(self, model: Any) -> None:
        """The model, before its first step."""

    def enter(self, *_: Any) -> None:
        """Before a step."""

    def leave(self, loss: float | None = None) -> None:
        """After a step; a trainer that tells its loss later appends it to `losses`."""
        if loss is not None:
            self.losses.append(loss)


def settled() -> None:
    """Wait until the GPU has done what it was given; a clock read before would be wrong."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def settings_of(sets: list[str]) -> dict:
    """`key=value` items as a contender's settings, values as JSON where they are; `train.` in front may be left out."""

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    return {key.removeprefix("train."): value(text) for key, _, text in (entry.partition("=") for entry in sets)}


def words(rows: int, tokens: int, vocabulary: int) -> list[list[int]]:
    """Token ids by a fixed rule; the second half of each row is supervised."""
    return [[(1 + 7919 * (row * tokens + place)) % (vocabulary - 1) + 1 for place in range(tokens)] for row in range(rows)]


def labelled(rows: list[list[int]]) -> dict[str, Any]:
    """Rows of equal length as the models of transformers take them, the second half of each supervised."""
    import torch

    ids = torch.tensor(rows)
    labels = ids.clone()
    labels[:, :ids.shape[1] // 2] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def ours(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
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
    lora = Lora(rank=of.pop("rank"), alpha=ALPHA, targets=of.pop("targets"))
    train = Train(**{"epochs": of.pop("steps", FOREVER), "micro_batch": rows, "learning_rate": RATE, "warmup": 0.0,
                     "loss_floor": 0, "checkpointing": True, **of})
    objective.prepare_for_training(loaded.model, train.checkpointing)
    model = adapter.attach_new(loaded.model, lora, seed=0)
    blocks.make_lean(model, checkpointing=train.checkpointing)
    loss_of, _ = objective.chunked_objective(model, train.loss_chunk)
    examples = [TokenisedExample(tuple(row), tokens // 2, tokens, 1.0) for row in words(rows, tokens, len(loaded.tokenizer))]
    torch.manual_seed(0)
    gate.watch(model)
    loop.train(model, examples, train, pad=0, loss_of=loss_of, may_step=gate.enter, save=lambda *_: None,
               on_step=lambda progress, steps, rate: gate.leave(progress.losses[-1]), monotonic=time.monotonic, state_every=1e9)
    return model


def without(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
    """Ours, but none of our compiled kernels."""
    os.environ["EDGE_SLEEP_KERNELS"] = "none"
    return ours(folder, rows, tokens, settings, gate)


def stock(folder: str, dtype: str = "bfloat16") -> Any:
    """The base as Hugging Face's own guide loads it, the adapter on it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from edge_sleep.device import detect
    from edge_sleep.model import base as base_model

    place = base_model.resolve(folder)
    model = base_model._with_transformers(base_model.Base(place, "", dtype), detect.choose(), getattr(torch, dtype))
    base_model._keep_one_form(model)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS.split(","), task_type="CAUSAL_LM"))


def _arguments(out: str, rows: int, settings: dict) -> dict[str, Any]:
    """What Trainer and SFTTrainer are asked for alike."""
    import torch

    return {"output_dir": out, "per_device_train_batch_size": rows, "max_steps": settings.get("steps", FOREVER),
            "learning_rate": RATE, "logging_steps": 1, "report_to": [], "bf16": settings.get("dtype", "bfloat16") == "bfloat16",
            "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}, "save_strategy": "no",
            "use_cpu": not torch.cuda.is_available(), "optim": "adamw_torch", "disable_tqdm": True}


def _watch(gate: Gate) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_step_begin(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            gate.enter()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            gate.leave()

        def on_log(self, arguments: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                gate.losses.append(float(logs["loss"]))

    return Watch()


def hf(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
    """transformers.Trainer on PEFT's model: the model's own loss over full logits."""
    from transformers import AutoTokenizer, Trainer, TrainingArguments, default_data_collator

    model = stock(folder, settings.get("dtype", "bfloat16"))
    of = labelled(words(rows, tokens, len(AutoTokenizer.from_pretrained(folder))))
    data = [{name: values[row] for name, values in of.items()} for row in range(rows)]
    gate.watch(model)
    with tempfile.TemporaryDirectory() as out:
        Trainer(model=model, args=TrainingArguments(**_arguments(out, rows, settings)), train_dataset=data,
                data_collator=default_data_collator, callbacks=[_watch(gate)]).train()
    return model


def trl(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
    """TRL's SFTTrainer as it comes."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = stock(folder, settings.get("dtype", "bfloat16"))
    made = words(rows, tokens, len(tokenizer))
    answers = [[int(place >= tokens // 2) for place in range(tokens)]] * len(made)
    data = Dataset.from_dict({"input_ids": made, "completion_mask": answers})
    gate.watch(model)
    with tempfile.TemporaryDirectory() as out:
        SFTTrainer(model=model, args=SFTConfig(**_arguments(out, rows, settings), max_length=tokens, completion_only_loss=True,
                                               dataset_num_proc=None),
                   train_dataset=data, processing_class=tokenizer, callbacks=[_watch(gate)]).train()
    return model


def train_plainly(model: Any, batch: dict[str, Any], settings: dict, gate: Gate) -> Any:
    """The loop of the guides: the model's own loss over full logits, clipping, AdamW."""
    import torch

    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    batch = {name: value.to(trained[0].device) for name, value in batch.items()}
    optimiser = torch.optim.AdamW(trained, lr=RATE, foreach=False)
    gate.watch(model)
    for _ in range(settings.get("steps", FOREVER)):
        gate.enter()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        gate.leave(loss.item())
    return model


def reference(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
    """What a step is held against: PEFT's and bitsandbytes' own layers, full logits, float32, no trainer."""
    from transformers import AutoTokenizer

    batch = labelled(words(rows, tokens, len(AutoTokenizer.from_pretrained(folder))))
    return train_plainly(stock(folder, "float32"), batch, settings, gate)


def liger(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
    from liger_kernel.transformers import apply_liger_kernel_to_qwen2

    apply_liger_kernel_to_qwen2()                       # before the model is built: it replaces classes
    return hf(folder, rows, tokens, settings, gate)


def unsloth(folder: str, rows: int, tokens: int, settings: dict, gate: Gate) -> Any:
    from unsloth import FastLanguageModel  # isort: skip - has to be imported before transformers
    import torch

    model, tokenizer = FastLanguageModel.from_pretrained(folder, max_seq_length=tokens, load_in_4bit=True,
                                                         dtype=getattr(torch, settings.get("dtype", "bfloat16")))
    model = FastLanguageModel.get_peft_model(model, r=RANK, lora_alpha=ALPHA, target_modules=TARGETS.split(","),
                                             use_gradient_checkpointing=True)
    return train_plainly(model, labelled(words(rows, tokens, len(tokenizer))), settings, gate)


# (model folder, rows, tokens, settings, gate) -> the model
CONTENDERS: dict[str, Callable[[str, int, int, dict, Any], Any]] = {
    "ours": ours, "without": without, "hf": hf, "trl": trl, "liger": liger, "unsloth": unsloth, "reference": reference}
OURS = ("ours", "without")


def asked(who: str, settings: dict, steps: int | None = None) -> dict:
    """A contender's own part of the settings: ours takes all, a peer the type that is computed in."""
    own = dict(settings) if who in OURS else {key: value for key, value in settings.items() if key == "dtype"}
    return own | ({"steps": steps} if steps is not None else {})
