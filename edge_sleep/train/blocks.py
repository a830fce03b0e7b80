"""The blocks of a loaded model made lean for training: parts of theirs replaced by ops of ours that compute the same.

The model stays what transformers and PEFT built; only `forward` of some modules is another on this instance, and what is
saved is plain PEFT. A part is replaced where its class is understood and, tried on a few random rows, gives what the
module itself gives; then the whole model is tried, and where it speaks otherwise everything is put back, with the reason.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge_sleep.model.head import causal_of, site_of
from edge_sleep.ops import registry
from edge_sleep.train import rotary

ATTENTION = "edge_sleep_blocked"
_BEFORE = "_forward_before"                        # what an instance's own forward was, None for its class's
# Of the norm: some roundings of a type with 24, 8 or 11 bits in one part; of some dozens of blocks one after another.
_NEAR = {"float32": 1e-4, "bfloat16": 3e-2, "float16": 5e-3}
_WHOLE = {"float32": 1e-3, "bfloat16": 0.1, "float16": 2e-2}


@dataclass(frozen=True)
class Swap:
    """What became of one kind of part: how many were replaced, by what, or why none was."""

    op: str
    replaced: int
    reason: str

    def __str__(self) -> str:
        return f"{self.op}: {self.reason}" if self.replaced else f"{self.op}: as the library does it ({self.reason})"


def make_lean(model: Any, *, checkpointing: bool) -> list[Swap]:
    """Replace what can be replaced in `model` (PEFT or plain, 4-bit or not), in place; what was done, each with its reason.

    checkpointing: blocks are recomputed, so that a weight made readable may be kept from there to the backward pass.
    """
    training = model.training
    model.eval()                       # a trial compares; dropout would draw other masks for each side
    try:
        return _swapped(model, checkpointing)
    finally:
        model.train(training)


def _swapped(model: Any, checkpointing: bool) -> list[Swap]:
    site = site_of(model)
    gated = [module for module in model.modules() if _is_gated(module)]
    ends = {id(module.down_proj) for module in gated}
    spoken = _speak(model)
    swaps = [_norms(model, site), _gates(gated, site), *_linears(model, site, ends, checkpointing),
             _rotations(model, site), _attention(model, site, checkpointing)]
    off = ((_speak(model) - spoken).norm() / spoken.norm()).item()
    if off <= _WHOLE[site.dtype]:
        return swaps
    _put_back(model)
    return [Swap(swap.op, 0, f"tried together, the model's last hidden states were off by {off:.1%}") for swap in swaps]


def _speak(model: Any) -> Any:
    """Last hidden states [1, T, H] of a few tokens in float32; the random state stays as it was."""
    import torch

    causal = causal_of(model)
    embedding = causal.get_input_embeddings()
    ids = torch.arange(1, 17).remainder(embedding.num_embeddings)[None].to(next(model.parameters()).device)
    with torch.random.fork_rng(), torch.no_grad():
        return causal(input_ids=ids, use_cache=False, output_hidden_states=True, logits_to_keep=1).hidden_states[-1].float()


def _replace(module: Any, forward: Callable) -> None:
    """This instance's forward is another from now on; the class, and other models, keep theirs."""
    module.__dict__.setdefault(_BEFORE, module.__dict__.get("forward"))
    module.__dict__["forward"] = forward


def _put_back(model: Any) -> None:
    for module in model.modules():
        if _BEFORE in module.__dict__:
            module.__dict__.pop("forward")
            if (before := module.__dict__.pop(_BEFORE)) is not None:         # of a layer that runs without bitsandbytes' code
                module.__dict__["forward"] = before
    causal = causal_of(model)
    if causal.config._attn_implementation.startswith(ATTENTION):
        causal.set_attn_implementation("sdpa")


def _differs(site: registry.Site, ours: Any, theirs: Any) -> str | None:
    """Why `ours` is not what the module gives; None where it is, within the rounding of its type."""
    off = ((ours - theirs).float().norm() / theirs.float().norm().clamp_min(1e-12)).item()
    return None if off <= _NEAR[site.dtype] else f"tried, it is off by {off:.1%} here"


def _norms(model: Any, site: registry.Site) -> Swap:
    choice = registry.choose("rms_norm", site)
    ours = choice.implementation.load()
    found = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")
             and hasattr(module, "variance_epsilon") and getattr(module, "weight", None) is not None]
    if not found:
        return Swap("rms_norm", 0, "no norm of a known form")
    return _tried(choice, found, partial(_norm_forward, ours=ours), len(found[0].weight), found[0].weight.dtype, site)


def _tried(choice: registry.Choice, found: list[Any], forward_of: Callable[[Any], Callable], width: int, dtype: Any,
           site: registry.Site) -> Swap:
    """Replace the forward of every module found, if on a few random rows the first one's gives what the module gives."""
    import torch

    first = found[0]
    weight = next(first.parameters())
    # Random numbers of their own: a trial leaves the night's random state alone.
    dice = torch.Generator(device=weight.device).manual_seed(0)
    with torch.no_grad():
        rows = torch.randn(3, width, dtype=dtype, device=weight.device, generator=dice)
        why_not = _differs(site, forward_of(first)(rows), first(rows))
    if why_not:
        return Swap(choice.op, 0, why_not)
    for module in found:
        _replace(module, forward_of(module))
    return Swap(choice.op, len(found), choice.reason)


def _norm_forward(module: Any, ours: Callable) -> Callable:
    return lambda hidden_states: ours(hidden_states, module.weight, module.variance_epsilon)


def _is_gated(module: Any) -> bool:
    parts = ("gate_proj", "up_proj", "down_proj", "act_fn")
    return all(hasattr(module, part) for part in parts) and type(module.act_fn).__name__ in ("SiLU", "SiLUActivation")


def _gates(gated: list[Any], site: registry.Site) -> Swap:
    import torch

    choice = registry.choose("swiglu", site)
    ours = choice.implementation.load()
    if not gated:
        return Swap("swiglu", 0, "no gated feed-forward with SiLU")
    width, dtype = gated[0].gate_proj.in_features, getattr(torch, site.dtype)
    return _tried(choice, gated, partial(_gate_forward, ours=ours), width, dtype, site)


def _gate_forward(module: Any, ours: Callable) -> Callable:
    return lambda x: module.down_proj(ours(module.gate_proj(x), module.up_proj(x)))


def _linears(model: Any, site: registry.Site, ends: set[int], checkpointing: bool) -> list[Swap]:
    """4-bit layers with and without an adapter. ends: ids of the layers that end a block."""
    from bitsandbytes.nn import Linear4bit

    beside, alone = (registry.choose(op, site) for op in ("lora_linear", "frozen_linear"))
    with_adapter, without, own_code = 0, 0, set()
    inside: set[int] = set()
    for module in model.modules():
        base = getattr(module, "base_layer", None)
        if isinstance(base, Linear4bit):
            inside.add(id(base))
            why_not = _why_not_fused(module)
            if why_not is None:
                last = id(module) in ends
                _replace(module, _lora_forward(module, beside.implementation.load(), alone.implementation.load(), last,
                                               checkpointing and not last))
                with_adapter += 1
            else:
                own_code.add(why_not)
    for module in model.modules():
        if isinstance(module, Linear4bit) and id(module) not in inside:
            keep = checkpointing and id(module) not in ends
            _replace(module, _frozen_forward(module, alone.implementation.load(), keep))
            without += 1
    no_adapter = "; ".join(sorted(own_code)) or "no 4-bit adapter"
    return [Swap("lora_linear", with_adapter, beside.reason if with_adapter else no_adapter),
            _readable(site, with_adapter + without),
            Swap("frozen_linear", without, alone.reason if without else "every 4-bit layer has an adapter, or none is 4-bit")]


def _readable(site: registry.Site, layers: int) -> Swap:
    """What makes the 4-bit weights of those layers readable."""
    choice = registry.choose("nf4", site)
    return Swap("nf4", layers if choice.implementation.name != "bitsandbytes" else 0, choice.reason)


def _why_not_fused(layer: Any) -> str | None:
    """Why PEFT's own forward stays on this adapter layer."""
    active = list(layer.active_adapters)
    if len(active) != 1:
        return f"{len(active)} active adapters"
    name = active[0]
    if getattr(layer, "use_dora", {}).get(name) or getattr(layer, "lora_variant", {}).get(name) is not None:
        return "DoRA and other variants stay with PEFT"
    if getattr(layer, "lora_bias", {}).get(name):
        return "an adapter with a bias"
    if name not in layer.lora_A:
        return "not a plain LoRA"
    return None


def _lora_forward(layer: Any, beside: Callable, alone: Callable, last: bool, keep: bool) -> Callable:
    name, base = layer.active_adapters[0], layer.base_layer
    a, b, scale = layer.lora_A[name], layer.lora_B[name], layer.scaling[name]
    chance = getattr(layer.lora_dropout[name], "p", 0.0)

    def forward(x: Any, *_: Any, **__: Any) -> Any:
        if layer.disable_adapters:
            return alone(x, base.weight, base.bias, keep=False)
        return beside(x, base.weight, base.bias, a.weight, b.weight, scale, dropout=chance if layer.training else 0.0,
                      last=last, keep=keep)

    return forward


def _frozen_forward(layer: Any, alone: Callable, keep: bool) -> Callable:
    return lambda x: alone(x, layer.weight, layer.bias, keep=keep)


def _rotations(model: Any, site: registry.Site) -> Swap:
    import torch

    choice = registry.choose("rope", site)
    if not choice.own:
        return Swap("rope", 0, choice.reason)
    found = [(module, written) for module in model.modules() if (written := rotary.code_of(module)) is not None]
    if not found:
        return Swap("rope", 0, "no attention that turns its queries and keys in a known way")
    theirs = rotary.theirs_of(found[0][1])
    turn = rotary.turned_by(choice.implementation.load(), theirs)
    place = next(model.parameters()).device
    dice = torch.Generator(device=place).manual_seed(0)
    q, cos, sin = (torch.randn(shape, dtype=getattr(torch, site.dtype), device=place, generator=dice)
                   for shape in ((1, 2, 3, 8), (1, 3, 8), (1, 3, 8)))
    if why_not := _differs(site, turn(q, q, cos, sin)[1], theirs(q, q, cos, sin)[1]):
        return Swap("rope", 0, why_not)
    for module, written in found:
        _replace(module, rotary.forward_with(module, written, turn))
    return Swap("rope", len(found), choice.reason)


def _attention(model: Any, site: registry.Site, checkpointing: bool) -> Swap:
    choice = registry.choose("attention", site)
    if not choice.own:
        return Swap("attention", 0, choice.reason)
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    config = model.config
    if config._attn_implementation != "sdpa":
        return Swap("attention", 0, f"this model asks for {config._attn_implementation}")
    name = ATTENTION + ("_keeping" if checkpointing else "")
    AttentionInterface.register(name, partial(_attend, ours=choice.implementation.load(), keep=checkpointing))
    AttentionMaskInterface.register(name, sdpa_mask)
    causal_of(model).set_attn_implementation(name)
    return Swap("attention", config.num_hidden_layers, choice.reason)


def _attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None,
            dropout: float = 0.0, *, ours: Callable, keep: bool, **options: Any) -> tuple[Any, None]:
    """Attention as transformers calls it; what `ours` does not know goes on to sdpa."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain = not dropout and query.shape[2] == key.shape[2] and options.get("is_causal") is not False and module.is_causal
    known = attention_mask is None or attention_mask.dtype == torch.bool
    strange = [name for name in ("softcap", "position_bias", "cache", "s_aux") if options.get(name) is not None]
    if not plain or not known or strange:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return ours(query, key, value, mask=attention_mask, scale=scale, keep=keep), None
