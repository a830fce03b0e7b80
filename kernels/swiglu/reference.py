"""SwiGLU by its formula; autograd gives both gradients. The oracle of the kernel, in any number type, best in float64."""
from __future__ import annotations

from torch import Tensor


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """gate sigmoid(gate) up, all [..., I]."""
    return gate * gate.sigmoid() * up
