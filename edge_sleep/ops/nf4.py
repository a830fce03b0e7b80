"""A weight in 4-bit NF4 (QLoRA: Dettmers et al., 2023), made readable again; the format and the code are bitsandbytes'."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def dequantise(weight: Any, dtype: torch.dtype) -> Tensor:
    """The weight [out, in] of a bitsandbytes `Params4bit` in `dtype`; without a copy where it was quantised from that type."""
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state).to(dtype)
