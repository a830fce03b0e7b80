"""The loss of a micro-batch: hidden states of the backbone, then the chunked head."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from edge_sleep.errors import ModelError
from edge_sleep.model.head import causal_of, separate, site_of
from edge_sleep.ops import registry

_ROUNDING = 0.03                          # of a norm: bfloat16 through some dozens of blocks; a leak is of the order of 1


def chunked_objective(model: Any, chunk: int) -> tuple[Callable[[Any, dict, float], Any], str]:
    """A loss function for `train.loop.train`, and the reason why this form was chosen.

    The head is read separately from the backbone, which is only right where logits are head(hidden).
    """
    from edge_sleep.model.embedding import head_of

    parted = separate(model)
    if isinstance(parted, str):
        return _full_logits, f"full logits: this architecture changes them after the head ({parted})"
    backbone, output = parted
    head = head_of(output)
    cross_entropy = registry.choose("linear_cross_entropy", site_of(model)).implementation.load()

    def loss_of(_: Any, batch: dict, denominator: float) -> Any:
        hidden = backbone(**_inputs(batch), use_cache=False).last_hidden_state
        chosen = hidden[batch["rows"], batch["columns"]]
        return cross_entropy(chosen, head, batch["targets"], batch["weights"], denominator=denominator, chunk=chunk)

    return loss_of, f"chunked head: {chunk} supervised tokens at a time, never all logits"


def _full_logits(model: Any, batch: dict, denominator: float) -> Any:
    import torch

    logits = model(**_inputs(batch), use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(logits[batch["rows"], batch["columns"]].float(), batch["targets"],
                                               reduction="none")
    return (losses * batch["weights"]).sum() / denominator


def _inputs(batch: dict) -> dict:
    return {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids") if name in batch}


def can_pack(model: Any) -> tuple[bool, str]:
    """Whether examples that share a row stay strangers to each other in this model, tried on two small rows.

    Other words before an example must not change it at all; an example behind another must be what it is alone
    (within rounding), which an architecture that counts its own positions would not give. Returns (yes or no, why).
    The random state is left as it was.
    """
    import torch

    causal = causal_of(model)
    device = next(model.parameters()).device
    # Words that differ in every place.
    vocabulary = causal.get_input_embeddings().num_embeddings
    first, other, second = ([number % vocabulary for number in range(start, start + 6)] for start in (1, 7, 13))

    def last_hidden(rows: list[list[int]], positions: list[int]) -> Any:
        torch.manual_seed(0)
        position_ids = torch.tensor([positions] * len(rows), device=device)
        return causal(input_ids=torch.tensor(rows, device=device), position_ids=position_ids, use_cache=False,
                      output_hidden_states=True).hidden_states[-1].float()

    restart = [*range(6), *range(6)]
    without_adapter = model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()
    with torch.random.fork_rng(), torch.no_grad(), without_adapter:
        behind_first = last_hidden([[*first, *second]] * 2, restart)[:, 6:]
        behind_other = last_hidden([[*other, *second]] * 2, restart)[:, 6:]
        alone = last_hidden([second] * 2, restart[:6])
    if not torch.equal(behind_first, behind_other):
        return False, "not packed: in this model an example sees its neighbours in a row"
    if (behind_first - alone).norm() > _ROUNDING * alone.norm():
        return False, "not packed: this model does not restart its positions"
    return True, "packed: short examples share rows, tried on this model"


def prepare_for_training(model: Any, checkpointing: bool) -> None:
    """Gradient checkpointing per block, without reentrance; inputs need no gradient of their own for it."""
    if not model.supports_gradient_checkpointing and checkpointing:
        raise ModelError(f"{type(model).__name__} has no gradient checkpointing",
                         "`--set train.checkpointing=false`")
    if checkpointing and hasattr(model, "activation_checkpointing_enable"):      # transformers 5.22 on
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    elif checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
