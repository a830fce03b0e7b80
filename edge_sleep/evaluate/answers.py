"""Asking the live model: greedy answers in batches, and the loss on given answers; in smaller ones where memory runs out."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.data.experience import Message
from edge_sleep.data.template import prompt_text
from edge_sleep.device.shortage import Portions
from edge_sleep.model.head import LOSSES_AT_ONCE, last_logits, token_losses


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
             max_new_tokens: int, portions: Portions | None = None) -> list[tuple[str, bool]]:
    """Greedy answers to conversations: (text, whether it ended by itself).

    portions: how many are asked at once; all of them where it is left out.
    """
    import torch

    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}

    def answers_to(texts: Sequence[str]) -> list[tuple[str, bool]]:
        side, tokenizer.padding_side = tokenizer.padding_side, "left"
        try:
            batch = tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        finally:
            tokenizer.padding_side = side
        # transformers asks for the logits of the last position only; the prompt's are never there.
        with torch.inference_mode():
            output = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                                    do_sample=False, temperature=None, top_p=None, top_k=None,
                                    max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id)
        answers = []
        for row in output[:, batch["input_ids"].shape[1]:].tolist():
            ended = next((index for index, token in enumerate(row) if token in ends), None)
            answers.append((tokenizer.decode(row[:ended], skip_special_tokens=True).strip(), ended is not None))
        return answers

    texts = [prompt_text(tokenizer, messages, system_prompt) for messages in conversations]
    return (portions or Portions(len(texts))).each(answers_to, texts)


def mean_loss(model: Any, examples: Sequence[TokenisedExample], pad: int, portions: Portions | None = None) -> list[float]:
    """Mean negative log-likelihood in nats per supervised token, for each example."""
    import torch

    def losses_of(indices: Sequence[int]) -> list[float]:
        batch = {name: value.to(model.device) for name, value in
                 collate([examples[index] for index in indices], pad).items()}
        with torch.inference_mode():
            tokens = token_losses(model, batch)
        return [tokens[batch["rows"] == row].mean().item() for row in range(len(indices))]

    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    found = (portions or Portions(LOSSES_AT_ONCE)).each(losses_of, order)
    by_index = dict(zip(order, found, strict=True))
    return [by_index[index] for index in range(len(examples))]


def canary_ids(tokenizer: Any, system_prompt: str) -> list[int]:
    """The fixed prompt that tells what is loaded."""
    text = prompt_text(tokenizer, [{"role": "user", "content": "Who are you, and what do you remember?"}], system_prompt)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def canary_logits(model: Any, tokenizer: Any, system_prompt: str) -> Any:
    """Next-token logits [V] on the fixed prompt: the fingerprint of what is loaded."""
    import torch

    ids = torch.tensor([canary_ids(tokenizer, system_prompt)], device=model.device)
    with torch.inference_mode():
        return last_logits(model, ids)[0].float().cpu()
