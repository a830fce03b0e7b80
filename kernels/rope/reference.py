"""Rotary positions as a turn of each pair in the plane; autograd gives the gradient. The oracle of the kernel."""
from __future__ import annotations

import torch
from torch import Tensor


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x [B, H, T, D]; values i and i + D/2 of a head are the two sides of a plane. cosines, sines [B or 1, T, D]."""
    half = x.shape[-1] // 2
    one, other = x[..., :half], x[..., half:]
    cos, sin = cosines[:, None], sines[:, None]
    return torch.cat((one * cos[..., :half] - other * sin[..., :half], other * cos[..., half:] + one * sin[..., half:]), dim=-1)
