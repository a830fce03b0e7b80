"""Rotary positions of a loaded model by an op of ours: each attention's own code, with another function to turn by.

transformers' attention calls `apply_rotary_pos_emb` of its module. An instance gets its class's code with that one name meaning
ours; class and module stay as they are. What ours does not take at a call goes to theirs.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

_NAME = "apply_rotary_pos_emb"


def code_of(module: Any) -> FunctionType | None:
    """The class's forward as it was written, where it is an attention that turns its queries and keys by that function."""
    if not type(module).__name__.endswith("Attention"):
        return None
    written = inspect.unwrap(type(module).forward)
    theirs = getattr(written, "__globals__", {}).get(_NAME)
    known = theirs is not None and list(inspect.signature(theirs).parameters)[:4] == ["q", "k", "cos", "sin"]
    return written if known and isinstance(written, FunctionType) and _NAME in written.__code__.co_names else None


def turned_by(ours: Callable[[Any, Any, Any], Any], theirs: Callable) -> Callable:
    """In the form that attentions call."""
    def turn(q: Any, k: Any, cos: Any, sin: Any, *more: Any, **named: Any) -> tuple[Any, Any]:
        plain = cos.dim() == 3 and cos.shape == sin.shape and all(x.dim() == 4 and cos.shape[-1] == x.shape[-1] for x in (q, k))
        if more or named or not plain:
            return theirs(q, k, cos, sin, *more, **named)
        return ours(q, cos, sin), ours(k, cos, sin)

    return turn


def forward_with(module: Any, written: FunctionType, turn: Callable) -> MethodType:
    """`written`, bound to this instance, with `turn` in the place of its module's function."""
    names = {**written.__globals__, _NAME: turn}
    made = FunctionType(written.__code__, names, written.__name__, written.__defaults__, written.__closure__)
    made.__kwdefaults__ = written.__kwdefaults__
    return MethodType(made, module)


def theirs_of(written: FunctionType) -> Callable:
    return written.__globals__[_NAME]
