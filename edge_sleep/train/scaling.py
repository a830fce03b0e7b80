"""The loss scale of float16: its smallest number is 6e-8, where a gradient of an adapter can be smaller.

The scale stands inside the loss, because the head makes its gradient in the forward pass. A step that overflows is
tried again at half the scale, and many good ones in a row double it (Micikevicius et al., 2018).
"""
from __future__ import annotations

GROW_AFTER = 200                    # good steps; a night has hundreds, so that torch's 2,000 would never come
LEAST = 2.0 ** -8                   # gradients that overflow even here are no matter of scale


def first(compute_dtype: str) -> float:
    """The scale to begin with: 1 where the format reaches as far as float32."""
    return 2.0 ** 16 if compute_dtype == "float16" else 1.0


def lowered(scale: float) -> float | None:
    """Half the scale, None where there is nothing left to try."""
    return scale / 2 if scale > LEAST else None


def after_a_good_step(scale: float, good_steps: int) -> tuple[float, int]:
    """(scale, good steps in a row) behind a step that was taken, of which `good_steps` preceded it."""
    return (2 * scale, 0) if good_steps + 1 >= GROW_AFTER else (scale, good_steps + 1)
