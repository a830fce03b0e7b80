"""Asking the live model: greedy answers in batches, and the loss on given answers."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.data.experience import Message
from edge_sleep.data.template import prompt_text


@contextmanager
def speaking_as(model: Any, adapter: str | None) -> Iterator[None]:
    """The model under one of its adapters; None is the base itself."""
    if adapter is None:
        with model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext():
            yield
    else:
        model.set_adapter(adapter)
        yield


def generate(model: Any, tokenizer: Any, conversations: Sequence[Sequence[Message]], system_prompt: str,
             max_new_tokens: int) -> list[tuple[str, bool]]:
    """Greedy answers to a batch of conversations: (text, whether it ended by itself)."""
    import torch

    texts = [prompt_text(tokenizer, messages, system_prompt) for messages in conversations]
    side, tokenizer.padding_side = tokenizer.padding_side, "left"
    try:
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    finally:
        tokenizer.padding_side = side
    with torch.inference_mode():
        output = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                                do_sample=False, temperature=None, top_p=None, top_k=None,
                                max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id)
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}
    answers = []
    for row in output[:, batch["input_ids"].shape[1]:].tolist():
        ended = next((index for index, token in enumerate(row) if token in ends), None)
        answers.append((tokenizer.decode(row[:ended], skip_special_tokens=True).strip(), ended is not None))
    return answers


def mean_loss(model: Any, examples: Sequence[TokenisedExample], pad: int, batch_size: int = 8) -> list[float]:
    """Mean negative log-likelihood in nats per supervised token, for each example."""
    import torch

    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    losses = [0.0] * len(examples)
    for start in range(0, len(order), batch_size):
        indices = order[start:start + batch_size]
        batch = {name: value.to(model.device) for name, value in
                 collate([examples[index] for index in indices], pad).items()}
        with torch.inference_mode():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
            tokens = torch.nn.functional.cross_entropy(
                logits[batch["rows"], batch["columns"]].float(), batch["targets"], reduction="none")
        for row, index in enumerate(indices):
            losses[index] = tokens[batch["rows"] == row].mean().item()
    return losses


def canary_logits(model: Any, tokenizer: Any, system_prompt: str) -> Any:
    """Next-token logits [V] on a fixed prompt: the fingerprint of what is loaded."""
    import torch

    text = prompt_text(tokenizer, [{"role": "user", "content": "Who are you, and what do you remember?"}], system_prompt)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"].to(model.device)
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).logits[0, -1].float().cpu()
