"""Looking up from a forward: on a small board one of a whole model takes seconds, and somebody may want the device meanwhile."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LOOK_SECONDS = 0.05


@contextmanager
def looking_inside(between: Callable[[], object]) -> Iterator[None]:
    """Call `between` before what any module of any model computes in here, at most twenty times a second; it may raise."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    at = time.monotonic()

    def look(*_: Any) -> None:
        nonlocal at
        if time.monotonic() - at > _LOOK_SECONDS:
            between()
            at = time.monotonic()

    hook = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()
